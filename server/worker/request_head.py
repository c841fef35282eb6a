"""The head of a request, read strictly: what two readers may understand differently is refused.

Python's own reader of fields is one for e-mail: it takes almost anything, and two to five times as
long. Source: RFC 9110 (HTTP semantics) and RFC 9112 (HTTP/1.1).
"""

import io
import re
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from server.errors import ProtocolError

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*+([^\0\r\n]*+)")
"""A name with the colon right behind it, and a value. The possessive quantifiers keep a line of
spaces that is no field from being tried in every way: that took time by its cube."""
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/([0-9])\.([0-9])")
ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
HOST_NAME = re.compile(r"[0-9A-Za-z\-._~%!$&'()*+;=:\[\]]*").fullmatch
MOST_FIELDS = 100
LENGTH, CODING, HOST = "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_HOST"
ONCE = {LENGTH, CODING, HOST}
"""The fields that may come once: two readers would see another end of the request, or another host,
if each took another one."""
MOST_DIGITS = 18
"""A length with more digits than this is beyond any limit."""

Fields = dict[str, str]


class RequestLine(NamedTuple):
    """The first line of a request."""

    method: str
    target: str
    """The target as it was sent."""
    path: str
    """The path, percent-encoded as it was sent."""
    query: str
    host: str | None
    """The host that the target names, which counts, not the field's; None if it names none."""
    version: str
    """Either HTTP/1.1 or HTTP/1.0."""


def read_request_line(line: bytes) -> RequestLine:
    """Return what the first line of a request says.

    Raises:
        ProtocolError: the line is malformed (400), or of another version of HTTP (505).
    """
    found = REQUEST_LINE.fullmatch(line)
    if found is None:
        raise ProtocolError(400, "the first line is no request's")
    if found[3] != b"1":
        raise ProtocolError(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
    method, target = found[1].decode("ascii"), found[2].decode("ascii")
    rest, host = target, None
    if not target.startswith("/") and not (target == "*" and method == "OPTIONS"):
        absolute = ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1] or not HOST_NAME(absolute[1]):
            raise ProtocolError(400, "the request's target is neither a path nor an http URL")
        host, rest = absolute[1], absolute[2]
        if not rest.startswith("/"):
            rest = f"/{rest}"
    path, _, query = rest.partition("?")
    return RequestLine(
        method, target, path, query, host, "HTTP/1.0" if found[4] == b"0" else "HTTP/1.1"
    )


def read_fields(block: bytes) -> Fields:
    """Return the fields of ``block``, lines with CRLF between, as a WSGI environment has them.

    Values of one name are joined. Fields whose names have an underscore are left out: they would
    pass for others.

    Raises:
        ProtocolError: a field is malformed or ambiguous (400), or there are too many (431).
    """
    fields: Fields = {}
    lines = block.split(b"\r\n") if block else []
    if len(lines) > MOST_FIELDS:
        raise ProtocolError(431, f"there are more than {MOST_FIELDS} header fields")
    for number, line in enumerate(lines, start=1):
        field = FIELD.fullmatch(line)
        if field is None:  # its text may be a secret, and so is not told
            raise ProtocolError(400, f"line {number} of the header fields is malformed")
        name, value = _key(field[1]), field[2].rstrip(b" \t").decode("latin-1")
        if name not in fields:
            fields[name] = value
        elif name in ONCE:
            raise ProtocolError(400, f"the field {field[1].decode()} comes twice")
        elif name:
            fields[name] += ("; " if name == "HTTP_COOKIE" else ",") + value
    fields.pop("", None)
    _check_framing(fields)
    return fields


def check_host(line: RequestLine, fields: Fields) -> None:
    """Check that a request names the host that it is for, where it must.

    Raises:
        ProtocolError: the field Host is missing, or no host's name.
    """
    host = fields.get(HOST)
    if host is None:
        if line.version == "HTTP/1.1":
            raise ProtocolError(400, "the field Host is missing")
    elif not HOST_NAME(host):
        raise ProtocolError(400, "the field Host is no host's name")


def keeps_connection(line: RequestLine, fields: Fields) -> bool:
    """Return whether the caller wants to keep its connection after the request."""
    wish = fields.get("HTTP_CONNECTION")
    if wish is None:
        return line.version == "HTTP/1.1"
    wishes = [each.strip() for each in wish.lower().split(",")]
    return "close" not in wishes and (line.version == "HTTP/1.1" or "keep-alive" in wishes)


def environ_of(
    base: dict[str, Any], line: RequestLine, fields: Fields, body: bytes
) -> dict[str, Any]:
    """Return the WSGI environment of a request, which begins with ``base``. Source: PEP 3333."""
    path = line.path
    environ: dict[str, Any] = {
        **base,
        **fields,
        "REQUEST_METHOD": line.method,
        "PATH_INFO": unquote(path, "latin-1") if "%" in path else path,
        "QUERY_STRING": line.query,
        "RAW_URI": line.target,
        "SERVER_PROTOCOL": line.version,
        "wsgi.input": io.BytesIO(body),
    }
    if line.host is not None:
        environ[HOST] = line.host
    if body:
        environ[LENGTH] = str(len(body))  # it may have come in chunks
    return environ


def _check_framing(fields: Fields) -> None:
    """Check that the fields say in one way where the request ends."""
    length, coding = fields.get(LENGTH), fields.get(CODING)
    if length is not None:
        if coding is not None:
            raise ProtocolError(400, "there are both Content-Length and Transfer-Encoding")
        if not (length.isascii() and length.isdecimal()):
            raise ProtocolError(400, "Content-Length is no whole number")
        if len(length) > MOST_DIGITS:
            raise ProtocolError(413, "the body is too long")
    elif coding is not None and coding.lower() != "chunked":
        raise ProtocolError(501, "no Transfer-Encoding but chunked is read here")


@lru_cache(maxsize=256)
def _key(name: bytes) -> str:
    """Return the key that a WSGI environment has for the field ``name``, empty if it has none."""
    if b"_" in name:
        return ""
    key = name.decode("ascii").replace("-", "_").upper()
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
