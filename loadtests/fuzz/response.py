"""The server's answers, read strictly: whatever RFC 9112 forbids a server to send is a fault."""

import re
from dataclasses import dataclass

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
ONCE = {"content-length", "content-type", "date", "transfer-encoding", "x-request-id"}
"""The fields that an answer may have no more than once."""


class Malformed(Exception):
    """The bytes are no HTTP/1.1 answer; the message says why."""


@dataclass(frozen=True)
class Response:
    """One answer of the server."""

    status: int
    fields: dict[str, str]
    """The header fields, with lower-case names; several of one name are joined by commas."""
    body: bytes = b""

    @property
    def closes(self) -> bool:
        """Whether the answer says that it is the connection's last."""
        tokens = self.fields.get("connection", "").lower().split(",")
        return "close" in (token.strip() for token in tokens)


def read(data: bytes, method: bytes, ended: bool) -> tuple[Response, bytes] | None:
    """Return the answer at the beginning of ``data`` and the bytes that follow it.

    ``ended`` says whether the server has closed the connection. None means that more must arrive.

    Raises:
        Malformed: the bytes are no strict answer to a request of this method.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        _check_unfinished(data, ended)
        return None
    response = Response(*_head(head))
    length, coding = (response.fields.get(x) for x in ("content-length", "transfer-encoding"))
    if method == b"HEAD" or response.status < 200 or response.status in (204, 304):
        return response, rest
    if coding is not None:
        return _chunked(response, coding, rest, ended)
    if length is None:
        raise Malformed("an answer has neither Content-Length nor Transfer-Encoding")
    if len(rest) < int(length):
        _check_unfinished(data, ended)
        return None
    body, rest = rest[: int(length)], rest[int(length) :]
    return Response(response.status, response.fields, body), rest


def _check_unfinished(data: bytes, ended: bool) -> None:
    if data and ended:
        raise Malformed(f"the connection ended within an answer, after {len(data)} bytes")
    if data and not b"HTTP/1.1 ".startswith(data[:9]):
        raise Malformed(f"an answer begins with {data[:40]!r}")


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.split(b"\r\n")
    line = STATUS_LINE.fullmatch(first)
    if line is None:
        raise Malformed(f"the status line is {first[:80]!r}")
    fields: dict[str, str] = {}
    for text in lines:
        field = FIELD.fullmatch(text)
        if field is None:
            raise Malformed(f"a header field is {text[:80]!r}")
        name, value = field[1].decode().lower(), field[2].decode("latin-1")
        if name in fields and name in ONCE:
            raise Malformed(f"{name} comes twice")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    length = fields.get("content-length")
    if length is not None and not re.fullmatch("[0-9]+", length):
        raise Malformed(f"Content-Length is {length!r}")
    if length is not None and "transfer-encoding" in fields:
        raise Malformed("an answer has both Content-Length and Transfer-Encoding")
    return int(line[1]), fields


def _chunked(
    response: Response, coding: str, rest: bytes, ended: bool
) -> tuple[Response, bytes] | None:
    if coding.lower() != "chunked":
        raise Malformed(f"Transfer-Encoding is {coding!r}")
    body = b""
    while size := CHUNK_SIZE.match(rest):
        end = size.end() + int(size[1], 16)
        if len(rest) < end + 2:
            break
        if rest[end : end + 2] != b"\r\n":
            raise Malformed(f"a chunk is followed by {rest[end : end + 2]!r}")
        body, rest = body + rest[size.end() : end], rest[end + 2 :]
        if end == size.end():
            return Response(response.status, response.fields, body), rest
    else:
        if b"\r\n" in rest[:20] or len(rest) > 20:
            raise Malformed(f"a chunk begins with {rest[:20]!r}")
    if ended:
        raise Malformed("the connection ended within a chunked answer")
    return None
