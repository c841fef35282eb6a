"""The body of a request, and the JSON in it: what cannot be read is the caller's error, not a bug.

Flask's own reading is not used: it ignores a body whose Content-Type it does not know, and lets
what the connection raises pass as a bug.
"""

import json
from typing import TYPE_CHECKING, Any

from server.errors import BodyError, BodyTimeout, BodyTooLarge, InvalidRequest, UnsupportedMedia

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY = 64 * 1024
"""The most bytes of a body: what is asked for here is always small."""
NO_CODING = ("", "identity")
"""The values of ``Content-Encoding`` that say that a body is as it is."""


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the body of a request, which is empty where there is none.

    Raises:
        UnsupportedMedia: the body is compressed.
        BodyTooLarge: the body has more than ``MAX_BODY`` bytes.
        BodyTimeout, BodyError: the body did not come in time, or not to its end.
    """
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    if coding.lower() not in NO_CODING:
        raise UnsupportedMedia("Content-Encoding", coding, "identity")
    length = environ.get("CONTENT_LENGTH")
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    wanted = int(length) if length else MAX_BODY + 1
    if wanted > MAX_BODY and length:
        raise BodyTooLarge(MAX_BODY)
    try:
        body: bytes = environ["wsgi.input"].read(wanted)
    except TimeoutError as error:
        raise BodyTimeout from error
    except OSError as error:
        raise BodyError from error
    if len(body) > MAX_BODY:
        raise BodyTooLarge(MAX_BODY)
    if length and len(body) < wanted:
        raise BodyError
    return body


def read_json(environ: "WSGIEnvironment") -> Any:
    """Return the JSON in the body of a request; None where the body is empty.

    Raises:
        InvalidRequest: the body is no JSON, or two readers might understand it differently.
        UnsupportedMedia, BodyTooLarge, BodyTimeout, BodyError: see ``read_body``.
    """
    body = read_body(environ)
    if not body:
        return None
    try:
        return _decode(body.decode("utf-8-sig"))
    except ValueError as error:
        raise InvalidRequest("body", _text(body), f"JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("body", _text(body), "JSON that is nested less deeply") from error


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
