"""Reads the requests of one connection, each whole: its head, then its body.

The bytes come from a function, so nothing here knows of sockets.
"""

import re
from collections.abc import Callable

from server.errors import ProtocolError
from server.worker.chunked_body import ChunkedBody
from server.worker.large_bodies import MAX_BODY, most_body
from server.worker.request_head import (
    CODING,
    LENGTH,
    Fields,
    RequestLine,
    check_host,
    read_fields,
    read_request_line,
)

MAX_HEAD = 64 * 1024
"""The most bytes of a request's first line and header fields together."""
MAX_LINE = 8 * 1024
"""The most bytes of a request's first line: no more than proxies pass on."""
PATH = re.compile(rb"[^ ]+ (/[^ ?]{0,200})")
HEAD_END = b"\r\n\r\n"
CARRIAGE_RETURN = 13

Receive = Callable[[bool], bytes]
"""Returns the next bytes of a connection, none at its end; takes whether a request has begun."""


class RequestReader:
    """Reads request after request of one connection.

    ``receive`` returns what the caller sends, and ``say_continue`` tells it to send the body that
    it holds back. ``hear`` is told how many bytes of a large body are here, and may raise a
    ``ProtocolError``. A body that carries latents has ``most_latents`` bytes at most.
    """

    def __init__(
        self,
        receive: Receive,
        say_continue: Callable[[], None],
        hear: Callable[[int], None] = lambda _: None,
        most_latents: int = MAX_BODY,
    ) -> None:
        self.line: RequestLine | None = None
        """The first line of the request that is read; None while it is not read, or is none."""
        self.path = ""
        """The path of the request that is read, as far as it can be told where that is none."""
        self.fields: Fields = {}
        """The header fields of the request that was read last."""
        self._receive = receive
        self._say_continue = say_continue
        self._hear = hear
        self._most_latents = most_latents
        self._unread = bytearray()
        """What came behind the last request."""
        self._pieces: list[bytes] = []
        """What is here of a large body. One long buffer for each of many callers, which all grow,
        would leave gaps in the memory that nothing fits into."""
        self._block = b""
        """The header fields as they came: most callers send the same ones again."""

    def read(self) -> bytes | None:
        """Read the next request and return its body, None at the end of the connection.

        Raises:
            ProtocolError: it is no request, or none that is read here; nothing behind it is read.
        """
        self.line, self.path = None, ""
        try:
            end = self._find_end_of_head()
            if end is None:
                return None
            first, _, block = bytes(self._unread[:end]).partition(b"\r\n")
            self.line = line = read_request_line(first)
        except ProtocolError:
            if found := PATH.match(self._unread):
                self.path = found[1].decode("latin-1")
            raise
        del self._unread[: end + len(HEAD_END)]
        if block != self._block:
            self._block, self.fields = b"", {}
            self._block, self.fields = block, read_fields(block)
        check_host(line, self.fields)
        try:
            return self._read_body(line)
        except BaseException:
            self._unread.clear()  # it may be much; who refers to it waits for the collector
            self._pieces.clear()
            raise

    def _find_end_of_head(self) -> int | None:
        """Return where the next request's head ends; None at the end of the connection."""
        unread, searched = self._unread, 0
        while (end := unread.find(HEAD_END, searched)) < 0:
            _check_beginning(unread, searched)
            searched = max(0, len(unread) - len(HEAD_END) + 1)
            piece = self._receive(bool(unread))
            if not piece:
                if unread:
                    raise ProtocolError(400, "the connection ended within a request's head")
                return None
            unread += piece
        _check_length(unread, end)
        return end

    def _read_body(self, line: RequestLine) -> bytes:
        coding, length = self.fields.get(CODING), int(self.fields.get(LENGTH, "0"))
        if coding is None and not length:
            return b""
        if line.method == "HEAD":
            raise ProtocolError(400, "a HEAD request has no body")
        if coding is not None and line.version == "HTTP/1.0":
            raise ProtocolError(400, "HTTP/1.0 has no Transfer-Encoding")
        is_small = coding is None and length <= MAX_BODY
        most = MAX_BODY if is_small else most_body(line, self._most_latents)
        if length > most:
            raise ProtocolError(413, f"the body is longer than {most} bytes")
        expect = self.fields.get("HTTP_EXPECT")
        if expect is not None and line.version == "HTTP/1.1":
            if expect.lower() != "100-continue":
                raise ProtocolError(417, "nothing but 100-continue can be expected here")
            if not self._unread:
                self._say_continue()
        return self._read_sized(length) if coding is None else self._read_chunked(most)

    def _read_sized(self, length: int) -> bytes:
        unread = self._unread
        if length > MAX_BODY:
            return self._read_large(length)
        while len(unread) < length:
            unread += self._receive_more()
        body = bytes(unread[:length])
        del unread[:length]
        return body

    def _read_large(self, length: int) -> bytes:
        pieces, size = self._pieces, len(self._unread)
        pieces.append(bytes(self._unread))
        self._unread.clear()
        while size < length:
            pieces.append(self._receive_more())
            size += len(pieces[-1])
            self._hear(size)
        body = b"".join(pieces)
        pieces.clear()
        self._unread += body[length:]
        return body[:length]

    def _read_chunked(self, most: int) -> bytes:
        chunks = ChunkedBody(most)
        piece = bytes(self._unread)
        self._unread.clear()
        while (found := chunks.feed(piece)) is None:
            if chunks.size > MAX_BODY:
                self._hear(chunks.size)
            piece = self._receive_more()
        body, behind = found
        self._unread += behind
        return body

    def _receive_more(self) -> bytes:
        piece = self._receive(True)
        if not piece:
            raise ProtocolError(400, "the connection ended within a request's body")
        return piece


def _check_beginning(head: bytearray, searched: int) -> None:
    """Refuse the beginning of a head that cannot become a right one.

    What is before ``searched`` was looked at already.
    """
    _check_length(head, len(head))
    at = head.find(b"\n", searched)
    while at >= 0:
        if not at or head[at - 1] != CARRIAGE_RETURN:
            raise ProtocolError(400, "a line of the head ends without a carriage return")
        if at == head.find(b"\n"):
            read_request_line(bytes(head[: at - 1]))
        at = head.find(b"\n", at + 1)


def _check_length(head: bytearray, length: int) -> None:
    """Refuse a head that has ``length`` bytes or more, if that is too long."""
    if length > MAX_LINE and not 0 <= head.find(b"\r\n") <= MAX_LINE:
        raise ProtocolError(414, f"the first line is longer than {MAX_LINE} bytes")
    if length > MAX_HEAD:
        raise ProtocolError(431, f"the head is longer than {MAX_HEAD} bytes")
