"""The body of a request, and the JSON in it: what cannot be read is the caller's error, not a bug.

The body is here, whole and of bounded length, before the application is called. Flask's own
reading is not used: it ignores a body whose Content-Type it does not know.
"""

import json
from typing import TYPE_CHECKING, Any

import orjson

from server.api.content_coding import coding_of, inflated
from server.errors import InvalidRequest, UnsupportedMedia
from server.worker.event_loop import EventLoop
from server.worker.large_bodies import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LARGE = 2**16
"""The bytes of JSON from which orjson reads it, which takes a third of the time."""
MOST_PARTS = 2**20
"""The most quotation marks and opening brackets of such JSON: each takes far more memory as an
object of Python's than as JSON. A million rows of latents have fewer."""


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the body of a request.

    Raises:
        UnsupportedMedia: the body is compressed.
    """
    if coding := coding_of(environ):
        raise UnsupportedMedia("Content-Encoding", coding, "identity")
    return environ["wsgi.input"].read()  # type: ignore[no-any-return]


def read_inflated(environ: "WSGIEnvironment", most: int) -> bytes:
    """Return the body of a request, which may be compressed, and then has ``most`` bytes at most.

    Raises:
        UnsupportedMedia: the body is compressed in a way that is not known.
        InvalidRequest: the body is not compressed as it says.
        ProtocolError: the body is too long (413).
    """
    body: bytes = environ["wsgi.input"].read()
    coding = coding_of(environ)
    return inflated(body, coding, most) if coding else body


def read_beside_others(environ: "WSGIEnvironment", most: int, loop: EventLoop) -> bytes:
    """Return the body as ``read_inflated`` does; other requests need not wait for zlib."""
    if coding_of(environ):
        return loop.in_thread(read_inflated, environ, most)
    return environ["wsgi.input"].read()  # type: ignore[no-any-return]


def read_json(environ: "WSGIEnvironment", inflates: bool = False) -> Any:
    """Return the JSON in the body of a request; None where the body is empty.

    A compressed body is read only by a protocol that ``inflates`` such.

    Raises:
        UnsupportedMedia: the body is compressed, or in a way that is not known.
        InvalidRequest: the body is no JSON, or two readers might understand it differently.
    """
    body = read_inflated(environ, MAX_BODY) if inflates else read_body(environ)
    if not body:
        return None
    if len(body) > LARGE:
        if sum(map(body.count, (b'"', b"[", b"{"))) > MOST_PARTS:
            raise InvalidRequest("body", _text(body[:200]), "JSON of few texts, lists and objects")
        if (found := _numbers(body)) is not None:
            return found
    try:
        return _decode(body.decode("utf-8-sig"))
    except ValueError as error:
        raise InvalidRequest("body", _text(body), f"JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("body", _text(body), "JSON that is nested less deeply") from error


def _numbers(body: bytes) -> dict[str, Any] | None:
    """Return the object in JSON of numbers in few members, as orjson reads it.

    It is None where Python's own reader has to look: at what is no JSON, to say why, and at texts
    further down, as orjson does not tell that an object has a member twice.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    texts = len(found) + sum(type(value) is str for value in found.values())
    return found if body.count(b'"') == 2 * texts else None


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of ``members``: of two of one name, readers take the one or the other."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("an object has two members of one name")
    return found


def _no_number(name: str) -> None:
    """Refuse NaN and infinity, which Python reads though JSON has no words for them."""
    raise ValueError(f"{name} is no number")


_decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number).decode
