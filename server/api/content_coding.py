"""Bodies in a ``Content-Encoding``, inflated to a bounded length. Source: RFC 9110, section 8.4."""

import zlib
from typing import TYPE_CHECKING

from server.errors import InvalidRequest, ProtocolError, UnsupportedMedia

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NO_CODING = ("", "identity")
"""The values of ``Content-Encoding`` that say that a body is as it is."""
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""The codings that are read, and how zlib calls them. Deflate is zlib's own format."""

STEP = 2**16
"""The bytes that are inflated at a time: what follows a member of gzip's is copied once for it."""
MOST_MEMBERS = 1000
"""The members of a gzip body at most: an empty one of 20 bytes takes as long as one of thousands.
Programs that write members of 64 KiB, such as bgzip, stay far below."""


def coding_of(environ: "WSGIEnvironment") -> str:
    """Return the coding in which a request's body is, empty if it is as it is."""
    coding: str = environ.get("HTTP_CONTENT_ENCODING", "")
    return "" if coding.lower() in NO_CODING else coding


def inflated(body: bytes, coding: str, most: int) -> bytes:
    """Return the bytes, ``most`` of them at most, that ``body`` has in ``coding``.

    Raises:
        UnsupportedMedia: the coding is not known.
        InvalidRequest: the body is not in that coding, or has too many parts.
        ProtocolError: there are more bytes (413).
    """
    window = WINDOWS.get(coding.lower())
    if window is None:
        raise UnsupportedMedia("Content-Encoding", coding, "gzip, deflate or identity")
    pieces: list[bytes] = []
    size, at, members = 0, 0, 0
    decompressor = zlib.decompressobj(window)
    while at < len(body):
        if decompressor.eof:  # gzip's members may follow each other
            members += 1
            if window != WINDOWS["gzip"] or members == MOST_MEMBERS:
                raise _not_in(coding, "more follows")
            decompressor = zlib.decompressobj(window)
        part = memoryview(body)[at : at + STEP]
        try:
            piece = decompressor.decompress(part, most + 1 - size)
        except zlib.error as error:
            raise _not_in(coding, str(error)) from error
        size += len(piece)
        if size > most:
            raise ProtocolError(413, f"the body is longer than {most} bytes without its coding")
        pieces.append(piece)
        at += len(part) - len(decompressor.unused_data)
    if body and not decompressor.eof:
        raise _not_in(coding, "it ends too soon")
    return b"".join(pieces)


def _not_in(coding: str, reason: str) -> InvalidRequest:
    return InvalidRequest("Content-Encoding", coding, f"the coding of the body: {reason}")
