"""Cases of the Open Inference Protocol: its parts one by one, from the shape to the coding."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Request

LATENT_DIM = 100
ROW = [0.25] * LATENT_DIM
MODEL = "/v2/models/cars-dcgan"
HEADER_LENGTH = b"Inference-Header-Content-Length: "
LIMIT = 16 * 2**20
"""The bytes of the largest body with latents."""
TENSOR = {"name": "latents", "datatype": "FP32", "shape": [1, LATENT_DIM], "data": ROW}
WRONG_DOCUMENTS: tuple[Any, ...] = (
    {"inputs": []},
    {"inputs": [TENSOR, TENSOR]},
    {"inputs": {"latents": TENSOR}},
    {"inputs": [TENSOR], "id": 7},
    {"inputs": [TENSOR], "outputs": {}},
    {"inputs": [TENSOR], "outputs": [{"name": "logits"}]},
    {"inputs": [TENSOR], "outputs": [None]},
    {"inputs": [TENSOR], "outputs": [{"name": "images", "parameters": {"classification": 3}}]},
    {"inputs": [TENSOR], "parameters": {"binary_data_output": "yes"}},
    {"inputs": [TENSOR], "parameters": {"timeout": -1}},
    {"inputs": [TENSOR], "parameters": {"priority": 0.5}},
    {"inputs": [TENSOR], "parameters": {"class": "dog"}},
    {"inputs": [TENSOR], "parameters": {"class": [1]}},
    {"inputs": [TENSOR | {"shape": [1, 2, 50]}]},
    {"inputs": [TENSOR | {"shape": [2**31, LATENT_DIM]}]},
    {"inputs": [TENSOR | {"shape": [-1, LATENT_DIM]}]},
    {"inputs": [TENSOR | {"shape": [1.0, LATENT_DIM]}]},
    {"inputs": [TENSOR | {"shape": [True, LATENT_DIM]}]},
    {"inputs": [TENSOR | {"shape": [10**30, LATENT_DIM]}]},
    {"inputs": [TENSOR | {"data": [ROW, ROW]}]},
    {"inputs": [TENSOR | {"data": [[ROW]]}]},
    {"inputs": [TENSOR | {"data": [True] * LATENT_DIM}]},
    {"inputs": [TENSOR | {"parameters": {"binary_data_size": 400}}]},
)
"""Documents that ask for no images."""
RIGHT_PARTS: tuple[dict[str, Any], ...] = (
    {},
    {"id": "a \u00e9 \u2603"},
    {"id": ""},
    {"id": None, "parameters": None, "outputs": None},
    {"outputs": [{"name": "images"}, {"name": "images"}]},
    {"outputs": [{"name": "images", "parameters": {"binary_data": True}}]},
    {"parameters": {"binary_data_output": True}},
    {"parameters": {"priority": 3, "sequence_id": 7, "anything": [{}]}},
    {"parameters": {"timeout": 30_000_000}},
    {"more": {"deep": [[[[]]]]}},
)
"""Members of documents that ask for images."""
ODD_FLOATS = (float("nan"), float("inf"), float("-inf"))
RIGHT_FLOATS = (-0.0, 1e-45, 3.4e38, -3.4e38)
PATHS = (
    "/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/stats", MODEL,
    f"{MODEL}/config", f"{MODEL}/ready", f"{MODEL}/stats",
)  # fmt: skip


def right(maker: Maker) -> Request:
    """Return a right request with parts that are seldom there."""
    document = {"inputs": [TENSOR], **maker.rng.choice(RIGHT_PARTS)}
    version = maker.rng.choice(("", f"/versions/{maker.version}"))
    request = _request(maker, "infer: parts", (200,), f"{MODEL}{version}/infer")
    return request.with_body(json.dumps(document).encode())


def wrong(maker: Maker) -> Request:
    """Return a request whose document asks for no images."""
    request = _request(maker, "infer: wrong document", (400,))
    return request.with_body(json.dumps(maker.rng.choice(WRONG_DOCUMENTS)).encode())


def any_member(maker: Maker) -> Request:
    """Return a request of which one member is any JSON value."""
    value, document = maker.rng.choice(maker.odd.values), {"inputs": [dict(TENSOR)]}
    name = maker.rng.choice(("inputs", "outputs", "id", "parameters", *TENSOR))
    if name in TENSOR:
        document["inputs"][0][name] = value
    else:
        document[name] = value
    request = _request(maker, f"infer: any {name}", (200, 400))
    return request.with_body(json.dumps(document).encode())


def floats(maker: Maker) -> Request:
    """Return a request whose bytes have numbers at the edge of float32, or none."""
    is_odd = maker.rng.random() < 0.5
    numbers = [maker.rng.choice(RIGHT_FLOATS) for _ in ROW]
    if is_odd:
        numbers[maker.rng.randrange(LATENT_DIM)] = maker.rng.choice(ODD_FLOATS)
    request = _request(maker, "infer: odd floats" if is_odd else "infer: floats", (200,))
    request.fields.append(b"Content-Type: application/octet-stream")
    request.owes(ANSWER, (400,) if is_odd else (200,))
    return request.with_body(struct.pack(f"<{LATENT_DIM}f", *numbers))


def damaged(maker: Maker) -> Request:
    """Return a request with bytes behind its JSON, of which one is another, or which is cut."""
    tensor: dict[str, Any] = {x: TENSOR[x] for x in ("name", "datatype", "shape")}
    tensor["parameters"] = {"binary_data_size": 4 * LATENT_DIM}
    head = json.dumps({"inputs": [tensor]}).encode()
    body = bytearray(head + struct.pack(f"<{LATENT_DIM}f", *ROW))
    for _ in range(maker.rng.choice((1, 1, 4))):
        body[maker.rng.randrange(len(body))] ^= 1 << maker.rng.randrange(8)
    length = maker.rng.choice((len(head), len(head), 0, len(body), maker.rng.randrange(len(body))))
    request = _request(maker, "infer: damaged", (200, 400))
    request.fields.append(HEADER_LENGTH + b"%d" % length)
    return request.with_body(bytes(body))


def coded(maker: Maker) -> Request:
    """Return a request in a coding, which may be damaged, doubled, or swell beyond all bounds."""
    whole = json.dumps({"inputs": [TENSOR]}).encode()
    name, encode = maker.rng.choice(((b"gzip", gzip.compress), (b"deflate", zlib.compress)))
    what = maker.rng.choice(
        ("whole", "damaged", "cut", "twice", "bomb", "nothing", "more", "members")
    )
    body, statuses = encode(whole), [200]
    if what == "damaged":
        at = maker.rng.randrange(len(body))
        body, statuses = body[:at] + bytes([body[at] ^ 255]) + body[at + 1 :], [200, 400, 413]
    elif what == "cut":
        body, statuses = body[: maker.rng.randrange(1, len(body))], [400]
    elif what == "twice":
        body, statuses = encode(body), [400]
    elif what == "bomb":
        body, statuses = bomb(encode, LIMIT + maker.rng.choice((1, LIMIT))), [413]
    elif what == "nothing":
        body, statuses = encode(b""), [400]
    elif what == "more":
        body, statuses = body + maker.rng.choice((b"x", b"\0" * 9)), [400]
    elif what == "members":
        body, statuses = encode(b"") * maker.rng.choice((2000, 100_000)), [400]
    request = _request(maker, f"infer: {name.decode()}, {what}", statuses)
    request.fields.append(b"Content-Encoding: " + name)
    return request.with_body(body)


@cache
def bomb(encode: Callable[[bytes], bytes], size: int) -> bytes:
    """Return so many zeros in a coding."""
    return encode(bytes(size))


def deep(maker: Maker) -> Request:
    """Return a request whose JSON is nested deeply, or has very many parts."""
    depth = maker.rng.choice((10, 100, 1000, 1100, 100_000))
    nested = b"[" * depth + b"]" * depth
    request = _request(maker, "infer: deep", (400,))
    place = maker.rng.choice((b'{"inputs": %b}', b"%b", b'{"inputs": [], "more": %b}'))
    return request.with_body(place % nested)


def document(maker: Maker) -> Request:
    """Return a request for any document of the protocol, by HEAD too."""
    target = maker.rng.choice(PATHS)
    request = maker.request("inference: any document", maker.rng.choice(("GET", "HEAD")), target)
    return request.owes(ANSWER, (200,))


def load(maker: Maker) -> Request:
    """Return an administrator's request to load what is served."""
    request = maker.administration("load: what is served", "load").owes(ANSWER, (200,))
    request.fields[3] = maker.rng.choice((b"Content-Type: text/plain", b"X-Other: 1"))
    body = {"parameters": {"version": maker.version, "unload_dependents": False}}
    return request.with_body(json.dumps(body).encode())


def load_with_files(maker: Maker) -> Request:
    """Return an administrator's request to load what it brings along."""
    request = maker.administration("load: with files", "load").owes(ANSWER, (400,))
    brought = {"config": "{}"}, {"file:1/model.onnx": "AAAA"}, {"config": None}
    parameters = maker.rng.choice(brought)
    return request.with_body(json.dumps({"parameters": parameters}).encode())


def _request(
    maker: Maker, kind: str, statuses: Iterable[int], target: str = f"{MODEL}/infer"
) -> Request:
    return maker.request(kind, "POST", target).owes(ANSWER, statuses)


CASES: dict[Callable[[Maker], Request], int] = {
    right: 3, wrong: 3, any_member: 3, floats: 2, damaged: 3, coded: 2, deep: 1, document: 2,
    load: 1, load_with_files: 1,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""
