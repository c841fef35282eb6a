"""Cases of JSON documents, of those for images with an oracle of what is valid."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import FORMATS, Maker
from loadtests.fuzz.request import ANSWER, Images, Request

MEMBERS = {
    "n", "seed", "seeds", "latents", "truncation", "format", "scale", "filter", "model", "version",
}  # fmt: skip
LAST_SEED = 2**64 - 1
OTHER_FORMATS = ("tar.jpg", "jpg", "tar.png")
"""What a body may ask for besides ``FORMATS``."""
BROKEN = (
    b"{", b"[1, 2", b'{"n": 1,}', b'{"n": 1} x', b"{'n': 1}", b'{"n": 1 // one\n}', b"{n: 1}",
    b'{"n": 01}', b'{"n": .5}', b'{"n": 1e}', b'{"n"; 1}', b'{"format": "png\n"}', b'{"a": "\\x"}',
    b'{"format": "png}', b"\xff\xfe", b'{"format": "\xff"}', b"{}{}", b"nul", b" ", b"\0",
    b'{"n": -}',
)  # fmt: skip
"""Texts that are no JSON."""


def deep(maker: Maker) -> Request:
    """Return a request whose JSON is nested deeply."""
    depth = maker.rng.choice((50, 500, 990, 1100, 3000, 10_000, 30_000))
    opens, closes = maker.rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = min(depth, 65_000 // len(opens + closes))
    body = opens * depth + (b"1" if opens != b"[" else b"") + closes * depth
    if maker.rng.random() < 0.3:
        body = b'{"n":' + body[: -(len(closes) * depth)]  # broken besides
    request = anywhere(maker, "json: deep").owes(ANSWER, (400,))
    if request.kind.endswith("unload"):
        request.statuses |= {404}
    if request.kind.endswith("index") and depth < 1000 and opens != b"[":
        request.statuses |= {200}  # members that nobody knows may be ignored there
    return request.with_body(body)


def broken(maker: Maker) -> Request:
    """Return a request whose body is no JSON."""
    request = anywhere(maker, "json: broken").owes(ANSWER, (400,))
    return request.with_body(maker.rng.choice(BROKEN))


def any_text(maker: Maker) -> Request:
    """Return a request for images whose body is any text."""
    request = maker.several("json: any text")
    return judged(request, maker.rng.choice(maker.odd.texts).encode())


def any_value(maker: Maker) -> Request:
    """Return a request for images whose body is any JSON value."""
    request = maker.several("json: any value")
    values = maker.odd.documents if maker.rng.random() < 0.7 else maker.odd.values
    return judged(request, json.dumps(maker.rng.choice(values)).encode())


def odd_member(maker: Maker) -> Request:
    """Return a request for images of which one member is odd."""
    name = maker.rng.choice(sorted(MEMBERS))
    request = maker.several(f"json: odd {name}")
    numbers = (
        "-1",
        "0",
        "4097",
        "65537",
        "1.5",
        "1.0",
        "1e0",
        "1e400",
        "-0",
        "NaN",
        "Infinity",
        "true",
    )
    huge = ("9" * 400, "1" + "0" * 5000, str(LAST_SEED), str(LAST_SEED + 1), '"1"', "null", "[1]")
    odd = json.dumps(maker.rng.choice(maker.odd.values))
    value = maker.rng.choice((*numbers, *huge, odd, odd))
    return judged(request, f'{{"{name}": {value}}}'.encode())


def duplicates(maker: Maker) -> Request:
    """Return a request for images whose JSON names a member twice."""
    request = maker.several("json: a member twice").owes(ANSWER, (200, 400))
    request.images = None
    return request.with_body(b'{"n": 1, "seed": 5, "n": 2}')


def encoded(maker: Maker) -> Request:
    """Return a request for images in another encoding of Unicode."""
    coding = maker.rng.choice(("utf-8-sig", "utf-16", "utf-32", "utf-16-le"))
    request = maker.several(f"json: {coding}").owes(ANSWER, (200, 400))
    request.images = Images(5)
    return request.with_body('{"seed": 5}'.encode(coding))


def anywhere(maker: Maker, kind: str) -> Request:
    """Return a request without its body to any route that reads JSON."""
    draw = maker.rng.random()
    if draw < 0.5:
        request = maker.several(kind)
    elif draw < 0.75:
        request = maker.administration(f"{kind}, unload", "unload", "none")
    else:
        request = maker.request(f"{kind}, index", "POST", "/v2/repository/index")
        request.fields.append(b"Content-Type: application/json")
    request.images = None
    return request


def judged(request: Request, body: bytes) -> Request:
    """Set the body, and what is owed to it: images if it asks for some, else 400."""
    request.images = None
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return request.owes(ANSWER, (400,)).with_body(body)
    if not isinstance(value, dict) or value.keys() - MEMBERS or not is_valid(value):
        return request.owes(ANSWER, (400,)).with_body(body)
    if value.get("model") is not None or value.get("version") is not None:
        return request.owes(ANSWER, (200, 400, 404, 503)).with_body(body)
    if "scale" in value:
        return request.owes(ANSWER, (200, 400, 503)).with_body(body)  # it may be too much
    if "seeds" in value or value.get("truncation", 1) != 1:
        return request.owes(ANSWER, (200, 503)).with_body(body)  # the images are of no range
    n, seed = value.get("n", 1), value.get("seed")
    request.images = None if seed is None else Images(seed, n, value.get("format", "png"))
    return request.owes(ANSWER, (200, 503) if n > 8 else (200,)).with_body(body)


def is_valid(body: dict[str, Any]) -> bool:
    """Return whether the members of a request for images have values that can be served."""
    n, seed, scale = body.get("n", 1), body.get("seed", 0), body.get("scale", 1)
    if type(n) is not int or type(seed) is not int:
        return False
    names = (body.get("model"), body.get("version"))
    truncation = body.get("truncation", 1)
    if type(truncation) not in (int, float) or not 0 < truncation <= 1 or "latents" in body:
        return False  # no odd value is latents of the right width
    if "seeds" in body and (body.keys() & {"n", "seed"} or not are_seeds(body["seeds"])):
        return False
    return (
        1 <= n <= 4096
        and 0 <= seed <= LAST_SEED + 1 - n
        and body.get("format", "png") in (*FORMATS, *OTHER_FORMATS)
        and type(scale) is int
        and 1 <= scale <= 32
        and body.get("filter", "nearest") in ("nearest", "lanczos")
        and all(name is None or isinstance(name, str) for name in names)
    )


def are_seeds(value: Any) -> bool:
    """Return whether ``value`` is a list of seeds that can be served."""
    if not isinstance(value, list) or not 1 <= len(value) <= 4096:
        return False
    return all(type(seed) is int and 0 <= seed <= LAST_SEED for seed in value)


def odd_latents(maker: Maker) -> Request:
    """Return a request for images of latents of which something is amiss."""
    request = maker.several("json: odd latents").owes(ANSWER, (400,))
    request.images = None
    rows = [["0"] * 100 for _ in range(maker.rng.choice((1, 2, 64)))]
    odd = ("NaN", "-Infinity", "1e400", "1e39", "null", "true", '"0"', "[0]", "{}", "9" * 400)
    damage = maker.rng.choice(("number", "short row", "no row", "beside n", "truncation"))
    if damage == "number":
        maker.rng.choice(rows)[maker.rng.randrange(100)] = maker.rng.choice(odd)
    elif damage == "short row":
        maker.rng.choice(rows).pop()
    elif damage == "no row":
        rows.insert(maker.rng.randrange(len(rows) + 1), [])
    more = {"beside n": ', "n": 1', "truncation": ', "truncation": 1'}.get(damage, "")
    text = ", ".join(f"[{', '.join(row)}]" for row in rows)
    return request.with_body(f'{{"latents": [{text}]{more}}}'.encode())


def latents_of_npy(maker: Maker) -> Request:
    """Return a request whose body is a .npy file of latents, whole or damaged."""
    request = maker.several("npy: latents")
    request.images, request.target = None, b"/v1/images?format=npy"
    request.fields[-1] = b"Content-Type: " + maker.rng.choice(
        (b"application/x-npy", b"application/octet-stream")
    )
    rows = maker.rng.choice((1, 2, 8))
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 100), }}".encode()
    body = b"\x93NUMPY\1\0%b%b" % (len(head).to_bytes(2, "little"), head) + bytes(400 * rows)
    if maker.rng.random() < 0.3:
        return request.owes(ANSWER, (200,)).with_body(body)
    request.kind, damaged = "npy: damaged", bytearray(body)
    damaged[maker.rng.randrange(len(head) + 10)] ^= maker.rng.randrange(1, 256)
    cut = maker.rng.choice((len(body), len(body) - 1, maker.rng.randrange(1, len(body))))
    return request.owes(ANSWER, (200, 400)).with_body(bytes(damaged[:cut]))


CASES: dict[Callable[[Maker], Request], int] = {
    deep: 3, broken: 3, any_text: 2, any_value: 4, odd_member: 5, duplicates: 1,
    encoded: 1, odd_latents: 3, latents_of_npy: 3,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""
