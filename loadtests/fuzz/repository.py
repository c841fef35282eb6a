"""Cases of the model repository: its index, what cannot be loaded or unloaded, and who may not."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.documents import BROKEN
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Request

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


CASES: dict[Callable[[Maker], Request], int] = {
    without_type: 2, index: 3, administration: 3, odd_name: 1, unauthorized: 1,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""
