"""The messages of requests for inference, and of their answers.

What a request asks for is read as it is in JSON: here it becomes a document of the same members,
and its tensors the bytes behind that.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from server.api.oip_classes import INT32, INT64
from server.api.oip_documents import Document
from server.api.oip_infer import read_document
from server.api.oip_service import Inferred, InferRequest
from server.api.oip_tensors import FP32, LATENTS, NUMBER_BYTES, LatentsShape
from server.errors import InvalidRequest
from server.grpc import inference_pb2 as pb

CONTENTS = {
    FP32: ("fp32_contents", "<f4"),
    INT64: ("int64_contents", "<i8"),
    INT32: ("int_contents", "<i4"),
}
"""The member that has the numbers of a tensor by its datatype, and what they are as bytes."""


def read_infer(request: pb.ModelInferRequest, shape: LatentsShape) -> InferRequest:
    """Return what ``request`` asks for; its images come as bytes, whatever it says of that.

    Raises:
        InvalidRequest: the message is not as the protocol has it.
    """
    packed = _bytes_of(request)
    inputs = [
        _input(tensor, len(data)) for tensor, data in zip(request.inputs, packed, strict=True)
    ]
    document: Document = {
        "id": request.id,
        "parameters": values_of(request.parameters),
        "inputs": inputs,
        "outputs": [
            {"name": output.name, "parameters": values_of(output.parameters)}
            for output in request.outputs
        ],
    }
    for tensor, data in zip(inputs, packed, strict=True):
        if tensor["name"] == LATENTS:
            _check_size(tensor["shape"], len(data))
    wanted = read_document(document, b"".join(packed), shape)
    wanted.outputs = tuple(output._replace(is_binary=True) for output in wanted.outputs)
    return wanted


def write_infer(inferred: Inferred) -> pb.ModelInferResponse:
    """Return the message that answers a request."""
    name, _, version = inferred.model.partition("/")
    outputs = [
        pb.ModelInferResponse.InferOutputTensor(
            name=drawn.wanted.name, datatype=drawn.datatype, shape=drawn.shape
        )
        for drawn in inferred.outputs
    ]
    return pb.ModelInferResponse(
        model_name=name,
        model_version=version,
        id=inferred.wanted.request_id,
        outputs=outputs,
        raw_output_contents=[drawn.encoded.body for drawn in inferred.outputs],
    )


def values_of(parameters: Mapping[str, Any]) -> Document:
    """Return the values of parameters by their names; None for one that has no value."""
    found: Document = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, kind) if kind else None
    return found


def _bytes_of(request: pb.ModelInferRequest) -> list[bytes]:
    """Return the bytes of each input, raw or as numbers; none of one that has neither."""
    raw = request.raw_input_contents
    if not raw:
        return [_typed(tensor) for tensor in request.inputs]
    if len(raw) != len(request.inputs):
        wanted = f"{len(request.inputs)}, one for each input"
        raise InvalidRequest("number of raw_input_contents", len(raw), wanted)
    typed = [kind for tensor in request.inputs for kind in _kinds(tensor)]
    if typed:
        raise InvalidRequest("contents of an input", typed, "none beside raw_input_contents")
    return list(raw)


def _typed(tensor: pb.ModelInferRequest.InferInputTensor) -> bytes:
    """Return the numbers of an input as bytes; none if they are not in the message."""
    wanted, dtype = CONTENTS.get(tensor.datatype, ("", ""))
    kinds = _kinds(tensor)
    others = [kind for kind in kinds if kind != wanted]
    if others and wanted:
        told = f"{wanted} alone, as its datatype has it"
        raise InvalidRequest("contents of an input", others, told)
    return np.array(getattr(tensor.contents, wanted), dtype).tobytes() if kinds and wanted else b""


def _kinds(tensor: pb.ModelInferRequest.InferInputTensor) -> list[str]:
    """Return the names of the kinds of numbers that a tensor has."""
    return [field.name for field, _ in tensor.contents.ListFields()]


def _input(tensor: pb.ModelInferRequest.InferInputTensor, size: int) -> Document:
    parameters = values_of(tensor.parameters)
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "parameters": {**parameters, "binary_data_size": size},
    }


def _check_size(shape: list[int], size: int) -> None:
    """Check that a tensor of ``shape`` has as many bytes as that takes."""
    wanted = NUMBER_BYTES * math.prod(shape)
    if all(number > 0 for number in shape) and size != wanted:
        raise InvalidRequest(f"bytes of {LATENTS}", size, f"{wanted}, as the shape has it")
