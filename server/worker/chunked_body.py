"""The body of a request that comes in chunks. Source: RFC 9112, section 7.1."""

import re

from server.errors import ProtocolError
from server.worker.request_head import FIELD

SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
"""The line before a chunk: its size, and extensions, which are not read."""
LONGEST_LINE = 4096
MOST_FRAMING = 64 * 1024
"""The most bytes of a body's lines before and after its chunks, trailers among them."""


class ChunkedBody:
    """Takes a body's bytes in any pieces; ``most`` is how many bytes the body itself may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unread = bytearray()
        """Bytes that came, and of which more must come before they can be read."""
        self._body = bytearray()
        self._left = 0
        """The bytes of the current chunk that are still to come, and those of its line's end."""
        self._framing = 0
        self._in_trailers = False

    @property
    def size(self) -> int:
        """The bytes of the body that are here."""
        return len(self._body)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take ``data``; return the whole body and the bytes behind it, None while more must come.

        Raises:
            ProtocolError: the chunks are malformed (400), or the body is too long (413).
        """
        self._unread += data
        while True:
            if self._left:
                if not self._read_chunk():
                    return None
                continue
            line = self._take_line()
            if line is None:
                return None
            if not self._in_trailers:
                self._begin_chunk(line)
            elif line == b"\r\n":
                return bytes(self._body), bytes(self._unread)
            elif not (line.endswith(b"\r\n") and FIELD.fullmatch(line[:-2])):
                raise ProtocolError(400, "a trailer is malformed")

    def _read_chunk(self) -> bool:
        """Read what is there of the current chunk; return whether all of it was."""
        unread, data = self._unread, self._left - 2
        if data > 0:
            piece = unread[:data]
            self._body += piece
            del unread[:data]
            self._left -= len(piece)
        if self._left > 2 or len(unread) < 2:
            return False
        if unread[:2] != b"\r\n":
            raise ProtocolError(400, "a chunk is longer than it says")
        del unread[:2]
        self._left = 0
        return True

    def _take_line(self) -> bytes | None:
        """Return the next line with its end, None while it is not there whole."""
        end = self._unread.find(b"\n") + 1
        if max(end, 0 if end else len(self._unread)) > LONGEST_LINE:
            raise ProtocolError(400, "a line between two chunks is too long")
        if not end:
            return None
        line = bytes(self._unread[:end])
        del self._unread[:end]
        self._framing += end
        if self._framing > MOST_FRAMING:
            raise ProtocolError(400, "there is more between the chunks than may be")
        return line

    def _begin_chunk(self, line: bytes) -> None:
        found = SIZE.fullmatch(line)
        if found is None:
            raise ProtocolError(400, "the size of a chunk is malformed")
        size = int(found[1], 16)
        if len(self._body) + size > self._most:
            raise ProtocolError(413, f"the body is longer than {self._most} bytes")
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True
