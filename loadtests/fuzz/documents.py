"""Cases of JSON documents: for images and for the repository, with an oracle of what is valid."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Images, Request

MEMBERS = {"n", "seed", "format", "model", "version"}
LAST_SEED = 2**64 - 1
BROKEN = (
    b"{", b"[1, 2", b'{"n": 1,}', b'{"n": 1} x', b"{'n': 1}", b'{"n": 1 // one\n}', b"{n: 1}",
    b'{"n": 01}', b'{"n": .5}', b'{"n": 1e}', b'{"n"; 1}', b'{"format": "png\n"}', b'{"a": "\\x"}',
    b'{"format": "png}', b"\xff\xfe", b'{"format": "\xff"}', b"{}{}", b"nul", b" ", b"\0",
    b'{"n": -}',
)  # fmt: skip
"""Texts that are no JSON."""
ACTIONS: tuple[tuple[str, str, Any], ...] = (
    ("unload: version that is not there", "unload", {"parameters": {"version": "9"}}),
    ("load: version that is not there", "load", {"parameters": {"version": "999999"}}),
    ("load: version of a wrong type", "load", {"parameters": {"version": 1}}),
    ("load: version that is no number", "load", {"parameters": {"version": "../1"}}),
    ("unload: parameters of a wrong type", "unload", {"parameters": []}),
    ("unload: parameters are null", "unload", {"parameters": None}),
    ("unload: a body of a wrong type", "unload", ["cars-dcgan"]),
)
NAMES = ("none", "a b", "..", "%2e%2e", "%00", "\u00e9", "x" * 300, "cars-dcgan%2f1")


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


def without_type(maker: Maker) -> Request:
    """Return a request below /v2 with a broken or wrong body that does not say it is JSON."""
    request = maker.administration("v2: body of another type", "unload", "none")
    if maker.rng.random() < 0.5:
        request = maker.request(request.kind, "POST", "/v2/repository/index")
    else:
        request.fields.pop()
    type_ = maker.rng.choice((b"application/x-www-form-urlencoded", b"text/plain", b""))
    request.fields += [b"Content-Type: " + type_] if type_ else []
    request.owes(ANSWER, (400, 415))
    return request.with_body(maker.rng.choice((b'{"ready": 7, "parameters": 7}', *BROKEN)))


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
    numbers = ("-1", "0", "4097", "1.5", "1.0", "1e0", "1e400", "-0", "NaN", "Infinity", "true")
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


def index(maker: Maker) -> Request:
    """Return a request for the repository's index."""
    request = maker.request("index", "POST", "/v2/repository/index")
    value = maker.rng.choice((None, True, False, *maker.odd.values[:40]))
    if maker.rng.random() < 0.2:
        return request  # without a body
    request.fields.append(b"Content-Type: application/json")
    if type(value) is not bool and value is not None:
        request.kind = "index: ready of a wrong type"
        request.owes(ANSWER, (400,))
    return request.with_body(json.dumps({} if value is None else {"ready": value}).encode())


def administration(maker: Maker) -> Request:
    """Return a request to load or unload what cannot be loaded or unloaded."""
    kind, action, body = maker.rng.choice(ACTIONS)
    request = maker.administration(kind, action).owes(ANSWER, (400, 404))
    return request.with_body(json.dumps(body).encode())


def odd_name(maker: Maker) -> Request:
    """Return a request to load a model whose name is odd."""
    action = maker.rng.choice(("load", "unload"))
    request = maker.administration(f"{action}: odd name", action).owes(ANSWER, (400, 404, 405))
    name = maker.rng.choice(NAMES).encode()
    request.target = b"/v2/repository/models/%b/%b" % (name.replace(b" ", b"%20"), action.encode())
    return request.with_body(b"{}")


def unauthorized(maker: Maker) -> Request:
    """Return an administrator's request without the token, or with a malformed one."""
    request = maker.administration("load: not authorized", "load").owes(ANSWER, (401,))
    given = (b"Bearer", b"Bearer no", b"Bearer \xff\xfe", b"Basic YTpi", b"Bearer a b", b"")
    request.fields[2] = b"Authorization: " + maker.rng.choice(given)
    return request.with_body(b"{}")


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
    n, seed = value.get("n", 1), value.get("seed")
    request.images = None if seed is None else Images(seed, n, value.get("format", "png"))
    return request.owes(ANSWER, (200, 503) if n > 8 else (200,)).with_body(body)


def is_valid(body: dict[str, Any]) -> bool:
    """Return whether the members of a request for images have values that can be served."""
    n, seed = body.get("n", 1), body.get("seed", 0)
    if type(n) is not int or type(seed) is not int:
        return False
    names = (body.get("model"), body.get("version"))
    return (
        1 <= n <= 4096
        and 0 <= seed <= LAST_SEED + 1 - n
        and body.get("format", "png") in ("png", "npy")
        and all(name is None or isinstance(name, str) for name in names)
    )


CASES: dict[Callable[[Maker], Request], int] = {
    deep: 3, broken: 3, without_type: 2, any_text: 2, any_value: 4, odd_member: 5, duplicates: 1,
    encoded: 1, index: 3, administration: 3, odd_name: 1, unauthorized: 1,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""
