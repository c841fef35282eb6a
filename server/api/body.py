"""The JSON in a request's body: what cannot be read is the caller's error, not a bug.

The body is here, whole and of bounded length, before the application is called. Flask's own
reading is not used: it ignores a body whose Content-Type it does not know.
"""

import json
from typing import TYPE_CHECKING, Any

from server.errors import InvalidRequest, UnsupportedMedia

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NO_CODING = ("", "identity")
"""The values of ``Content-Encoding`` that say that a body is as it is."""


def read_json(environ: "WSGIEnvironment") -> Any:
    """Return the JSON in the body of a request; None where the body is empty.

    Raises:
        UnsupportedMedia: the body is compressed.
        InvalidRequest: the body is no JSON, or two readers might understand it differently.
    """
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    if coding.lower() not in NO_CODING:
        raise UnsupportedMedia("Content-Encoding", coding, "identity")
    body = environ["wsgi.input"].read()
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
