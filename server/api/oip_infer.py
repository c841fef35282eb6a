"""The body of a request for inference by the Open Inference Protocol v2, and that of its answer.

A body is JSON; behind it lie the tensors that are not in it, as bytes. Source: the protocol's
binary tensor data extension.
"""

import orjson

from server.api.oip_classes import CLASS
from server.api.oip_documents import Document
from server.api.oip_inputs import read_inputs
from server.api.oip_parameters import check_offered, count, flag, parameters_of
from server.api.oip_service import Inferred, InferRequest, WantedOutput
from server.api.oip_tensors import IMAGES, OUTPUTS, LatentsShape, latents_from_bytes
from server.bundle.classes import Named, NamedEach, named_in_json
from server.errors import InvalidRequest

MOST_DIGITS = 18
"""A length with more digits than this is beyond any body."""
LARGE = 2**20
"""The bytes of JSON from which it is looked how many texts, lists and objects are in it."""
MOST_PARTS = 2**16
"""The most quotation marks and opening brackets of such JSON: each takes far more memory as an
object of Python's than as JSON, where a number is no worse than as a byte."""


def read_infer(
    body: bytes, header_length: str | None, is_octets: bool, shape: LatentsShape
) -> InferRequest:
    """Return what ``body`` asks for.

    ``header_length`` is the field Inference-Header-Content-Length, how many bytes of the body are
    JSON. Where it is 0, the body is the one input and nothing else, and so is the body of a request
    without the field, if it ``is_octets`` by its Content-Type and no JSON.

    Raises:
        InvalidRequest: the body, or what it asks for, is not as the protocol has it.
    """
    if header_length is None:
        try:
            return read_document(parsed(body), b"", shape)
        except _NoJson:
            if not is_octets:
                raise
            return _from_raw(body, shape)
    length = _length(header_length, len(body))
    if not length:
        return _from_raw(body, shape)
    rest = memoryview(body)
    return read_document(parsed(rest[:length]), rest[length:], shape)


def answer_parts(inferred: Inferred) -> tuple[list[bytes], list[bytes]]:
    """Return the parts of an answer's JSON, and the tensors whose bytes come behind it."""
    name, _, version = inferred.model.partition("/")
    document: Document = {"model_name": name, "model_version": version}
    if inferred.wanted.request_id:
        document["id"] = inferred.wanted.request_id
    parts, tensors = [orjson.dumps(document)[:-1], b',"outputs":'], []
    for number, drawn in enumerate(inferred.outputs):
        output, body = drawn.wanted, drawn.encoded.body
        told: Document = {"name": output.name, "datatype": drawn.datatype, "shape": drawn.shape}
        parts.append(b"," if number else b"[")
        if output.is_binary:
            told["parameters"] = {"binary_data_size": len(body)}
            parts.append(orjson.dumps(told))
            tensors.append(body)
        else:
            parts += (orjson.dumps(told)[:-1], b',"data":', body, b"}")
    parts.append(b"]}")
    return parts, tensors


class _NoJson(InvalidRequest):
    """The body is no JSON."""


def _length(text: str, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS and int(text) <= most:
        return int(text)
    wanted = f"a whole number from 0 to {most}, the bytes of the body"
    raise InvalidRequest("Inference-Header-Content-Length", text, wanted)


def parsed(body: bytes | memoryview) -> Document:
    """Return the object that the JSON ``body`` has; of two members of one name, the last counts.

    Raises:
        InvalidRequest: the body is no such JSON, or has more texts, lists and objects than numbers.
    """
    told = bytes(body[:200]).decode("utf-8", "replace")
    if len(body) > LARGE and sum(map(bytes(body).count, (b'"', b"[", b"{"))) > MOST_PARTS:
        raise InvalidRequest("body", told, "JSON of few texts, lists and objects")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _NoJson("body", told, f"JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("body", told, 'a JSON object such as {"inputs": [...]}')
    return document


def _from_raw(body: bytes, shape: LatentsShape) -> InferRequest:
    rows, rest = divmod(len(body), shape.row_bytes)
    if rest or not body:
        wanted = f"a multiple of {shape.row_bytes}, or JSON and Inference-Header-Content-Length"
        raise InvalidRequest("bytes of latents", len(body), wanted)
    shape.check_rows(rows)
    return InferRequest(latents_from_bytes(body, rows, shape.latent_dim))


def read_document(
    document: Document, binary: bytes | memoryview, shape: LatentsShape
) -> InferRequest:
    """Return what ``document`` asks for, with the ``binary`` tensor that is not in it, if any.

    Raises:
        InvalidRequest: the document is not as the protocol has it.
    """
    request_id = document.get("id")
    if not isinstance(request_id, str | None):
        raise InvalidRequest("id", request_id, "a text")
    parameters = parameters_of(document, "parameters")
    is_binary = flag(parameters, "binary_data_output", False)
    timeout = count(parameters, "timeout")
    count(parameters, "priority")
    outputs = _outputs(document, is_binary)
    latents, classes = read_inputs(document, binary, shape)
    named: Named | NamedEach = named_in_json(parameters.get(CLASS))
    if classes is not None:
        if named is not None:
            raise InvalidRequest("parameter class", named, "none beside the input of that name")
        named = classes
    timeout_s = timeout / 1e6 if timeout else None
    return InferRequest(latents, request_id or "", outputs, timeout_s, named)


def _outputs(document: Document, is_binary: bool) -> tuple[WantedOutput, ...]:
    """Return the outputs that are wanted; one that says nothing is binary as ``is_binary`` says.

    An output that is named twice comes once, as it is named first. The images come where no output
    is named.
    """
    outputs = document.get("outputs")
    if not isinstance(outputs, list | None):
        raise InvalidRequest("outputs", outputs, "a list")
    wanted: dict[str, WantedOutput] = {}
    for output in (_output(each, is_binary) for each in outputs or ()):
        wanted.setdefault(output.name, output)
    return tuple(wanted.values()) or (WantedOutput(IMAGES, is_binary),)


def _output(output: object, is_binary: bool) -> WantedOutput:
    name = output.get("name") if isinstance(output, dict) else output
    if not isinstance(output, dict) or not isinstance(name, str) or name not in OUTPUTS:
        raise InvalidRequest("name of an output", name, " or ".join(OUTPUTS))
    parameters = parameters_of(output, f"parameters of {name}")
    check_offered(parameters)
    return WantedOutput(name, flag(parameters, "binary_data", is_binary))
