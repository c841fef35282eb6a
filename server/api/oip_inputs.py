"""The tensors in a request for inference by the Open Inference Protocol v2: latents and classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.api.oip_classes import (
    CLASS,
    DTYPES,
    INT64,
    check_classes,
    classes_from_bytes,
    classes_from_json,
)
from server.api.oip_documents import Document
from server.api.oip_parameters import check_offered, count, parameters_of
from server.api.oip_tensors import LATENTS, LatentsShape, latents_from_bytes, latents_from_json
from server.errors import InvalidRequest

BINARY_SIZE = "binary_data_size"
"""The parameter of a tensor whose numbers are bytes behind the JSON."""


def read_inputs(
    document: Document, binary: bytes | memoryview, shape: LatentsShape
) -> tuple[NDArray[np.float32], NDArray[np.integer[Any]] | None]:
    """Return the latents of the request, and the class of each row if it has that tensor.

    Each lies in the JSON, or in ``binary``, the bytes behind that, in the order in which they are
    named. The latents are of ``shape``.

    Raises:
        InvalidRequest: a tensor is missing, or is not as the protocol and the model have it.
    """
    tensors = _tensors(document.get("inputs"))
    latents, of_class = tensors[LATENTS], tensors.get(CLASS, {})
    rows = shape.check_tensor(latents.get("datatype"), latents.get("shape"))
    sizes, dtype = {LATENTS: rows * shape.row_bytes}, DTYPES[INT64]
    if of_class:
        dtype = check_classes(of_class.get("datatype"), of_class.get("shape"), rows)
        sizes[CLASS] = rows * dtype.itemsize
    packed = _packed(tensors, sizes, binary)
    classes: NDArray[np.integer[Any]] | None = None
    if CLASS in packed:
        classes = classes_from_bytes(packed[CLASS], dtype)
    elif of_class:
        classes = classes_from_json(of_class.get("data"), rows)
    if LATENTS in packed:
        return latents_from_bytes(packed[LATENTS], rows, shape.latent_dim), classes
    return latents_from_json(latents.get("data"), rows, shape.latent_dim), classes


def _packed(
    tensors: dict[str, Document], sizes: dict[str, int], binary: bytes | memoryview
) -> dict[str, memoryview]:
    """Return the bytes of those of ``tensors`` that are not in the JSON; ``sizes`` are wanted."""
    packed, start, rest = {}, 0, memoryview(binary)
    for name, tensor in tensors.items():
        parameters = parameters_of(tensor, f"parameters of {name}")
        check_offered(parameters)
        if BINARY_SIZE not in parameters:
            continue
        if "data" in tensor:
            raise InvalidRequest(f"data of {name}", tensor["data"], "none beside binary_data_size")
        size = count(parameters, BINARY_SIZE)
        if size != sizes[name]:
            wanted = f"{sizes[name]}, as the shape has it"
            raise InvalidRequest(f"binary_data_size of {name}", size, wanted)
        packed[name] = rest[start : start + size]
        start += size
    if start != len(rest):
        why = "as binary_data_size" if packed else f"as {' and '.join(sizes)} have no {BINARY_SIZE}"
        raise InvalidRequest("bytes behind the JSON", len(rest), f"{start}, {why}")
    return packed


def _tensors(inputs: object) -> dict[str, Document]:
    """Return the tensors by their names: the latents, and the class if it is there."""
    wanted = f"a list of one tensor, {LATENTS}, and {CLASS} beside it at most"
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequest("inputs", inputs, wanted)
    tensors: dict[str, Document] = {}
    for tensor in inputs:
        name = tensor.get("name") if isinstance(tensor, dict) else tensor
        if name not in (LATENTS, CLASS):
            raise InvalidRequest("name of an input", name, f"{LATENTS}, or {CLASS} beside it")
        if not isinstance(tensor, dict):
            raise InvalidRequest("inputs", inputs, wanted)
        tensors[name] = tensor
    if len(tensors) < len(inputs):
        raise InvalidRequest("number of inputs", len(inputs), wanted)
    if LATENTS not in tensors:
        raise InvalidRequest("inputs", [*tensors], wanted)
    return tensors
