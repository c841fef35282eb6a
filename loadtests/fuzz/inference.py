"""Cases of the Open Inference Protocol: latents in JSON and as bytes, right and wrong."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Request

LATENT_DIM = 100
INFER = "/v2/models/cars-dcgan/infer"
HEADER_LENGTH = b"Inference-Header-Content-Length: "
DOCUMENTS = ("", "/ready", "/config", "/stats")
WRONG: tuple[dict[str, Any], ...] = (
    {"datatype": "FP64"},
    {"datatype": None},
    {"shape": [1, 99]},
    {"shape": [0, LATENT_DIM]},
    {"shape": [2**63, LATENT_DIM]},
    {"shape": "1"},
    {"name": "images"},
    {"data": []},
    {"data": [None] * LATENT_DIM},
    {"data": [[0.5] * 99]},
    {"data": [1e39] * LATENT_DIM},
    {"data": 7},
    {"parameters": {"binary_data_size": -4}},
    {"parameters": {"shared_memory_region": "a"}},
    {"parameters": []},
)
"""What is changed of a right tensor, so that it is none."""
LENGTHS = (b"-1", b"+4", b"0x10", b"1e3", b"99999999", b"9" * 5000)
"""Lengths of the JSON in a body that are none."""
CODINGS: tuple[tuple[bytes, Callable[[bytes], bytes], int], ...] = (
    (b"gzip", gzip.compress, 200),
    (b"deflate", zlib.compress, 200),
    (b"gzip", bytes, 400),
    (b"br", bytes, 415),
)
"""Codings of a body, what makes them, and the status of the answer."""


def right(maker: Maker) -> Request:
    """Return a right request for inference, in JSON, with bytes behind it, or of bytes alone."""
    kind = maker.rng.choice(("json", "binary", "raw"))
    request = _request(maker, f"infer: {kind}", 200)
    if kind == "json":
        return request.with_body(_json(_tensor(maker)))
    if kind == "raw":
        request.fields.append(b"Content-Type: application/octet-stream")
        return request.with_body(_numbers(maker, maker.rng.randint(1, 4)))
    return _with_bytes(request, maker)


def wrong(maker: Maker) -> Request:
    """Return a request for inference whose tensor, or the length of its JSON, is wrong."""
    if maker.rng.random() < 0.3:
        request = _request(maker, "infer: length of the JSON", 400)
        request.fields.append(HEADER_LENGTH + maker.rng.choice(LENGTHS))
        return request.with_body(_json(_tensor(maker)))
    change = maker.rng.choice(WRONG)
    request = _request(maker, f"infer: wrong {next(iter(change))}", 400)
    return request.with_body(_json(_tensor(maker) | change))


def cut(maker: Maker) -> Request:
    """Return a request for inference with bytes too many or too few, or another random one."""
    request = _with_bytes(_request(maker, "infer: bytes that do not add up", 400), maker)
    if maker.rng.random() < 0.5:
        request.body += b"x" * maker.rng.randint(1, 400)
    else:
        request.body = request.body[: -maker.rng.randint(1, 400)]
    request.fields[-1] = b"Content-Length: %d" % len(request.body)
    return request


def coded(maker: Maker) -> Request:
    """Return a request for inference in a content coding, or that says so."""
    name, encode, status = maker.rng.choice(CODINGS)
    request = _request(maker, f"infer: in {name.decode()}", status)
    request.fields.append(b"Content-Encoding: " + name)
    return request.with_body(encode(_json(_tensor(maker))))


def document(maker: Maker) -> Request:
    """Return a request for what the protocol tells of a model, there or not."""
    name, status = maker.rng.choice((("cars-dcgan", 200), ("lorry", 404)))
    target = f"/v2/models/{name}{maker.rng.choice(DOCUMENTS)}"
    return maker.request("inference document", "GET", target).owes(ANSWER, (status,))


def _request(maker: Maker, kind: str, status: int) -> Request:
    return maker.request(kind, "POST", INFER).owes(ANSWER, (status,))


def _tensor(maker: Maker) -> dict[str, Any]:
    numbers = [maker.rng.gauss(0, 1) for _ in range(LATENT_DIM)]
    return {"name": "latents", "datatype": "FP32", "shape": [1, LATENT_DIM], "data": numbers}


def _json(tensor: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": [tensor]}).encode()


def _numbers(maker: Maker, rows: int) -> bytes:
    count = rows * LATENT_DIM
    return struct.pack(f"<{count}f", *(maker.rng.gauss(0, 1) for _ in range(count)))


def _with_bytes(request: Request, maker: Maker) -> Request:
    """Give a request one row of latents as bytes behind its JSON."""
    numbers = _numbers(maker, 1)
    tensor = _tensor(maker) | {"parameters": {"binary_data_size": len(numbers)}}
    del tensor["data"]
    head = _json(tensor)
    request.fields.append(HEADER_LENGTH + b"%d" % len(head))
    return request.with_body(head + numbers)


CASES: dict[Callable[[Maker], Request], int] = {right: 4, wrong: 4, cut: 2, coded: 2, document: 2}
"""The cases, and how often each comes among all."""
