"""PNG files: of one image, or of a sheet of many.

The pixels are stored, not compressed. So the same pixels are the same bytes on every machine,
whichever zlib it has: deflating gives other bytes with zlib-ng than with zlib.
Sources: PNG specification, third edition; RFC 1950 and 1951.
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from server.codecs.sheet import contact_sheet, sheet_size

COLOR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG's colour types by the number of channels: greyscale, truecolour, truecolour with alpha."""
STORED = 65535
"""The most bytes that one stored DEFLATE block holds. Source: RFC 1951, section 3.2.4."""


def png_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 [n, H, W, C] as one PNG: the image itself, or a sheet of all of them.

    ``C`` is 1 for grey, 3 for RGB or 4 for RGBA.
    """
    return encode_png(images[0] if len(images) == 1 else contact_sheet(images))


def png_size(shape: tuple[int, ...]) -> int:
    """Return the number of bytes that ``png_bytes`` makes of images [n, H, W, C] of that shape."""
    height, width = sheet_size(*shape[:3])
    raw = height * (1 + width * shape[3])
    return raw + 17 * -(-raw // STORED) + 51


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 [H, W, C] as a PNG, C being 1, 3 or 4."""
    height, width, channels = image.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each with filter type 0, None
    lines[:, 1:] = image.reshape(height, -1)
    if lines.size > STORED:
        parts = _header(width, height, channels), *_stored(lines.data.cast("B")), _IEND
        return b"".join(parts)
    raw = lines.tobytes()
    before, crc = _before_only_block(width, height, channels)
    check = zlib.adler32(raw).to_bytes(4, "big")
    crc = zlib.crc32(check, zlib.crc32(raw, crc))
    return b"".join((before, raw, check, crc.to_bytes(4, "big"), _IEND))


def _stored(raw: memoryview) -> Iterator[bytes | memoryview]:
    """Yield ``raw`` as a zlib stream of stored blocks, each in an IDAT chunk of its own."""
    check = zlib.adler32(raw).to_bytes(4, "big")
    for start in range(0, len(raw), STORED):
        block = raw[start : start + STORED]
        is_last = start + STORED >= len(raw)
        head = _ZLIB_HEADER * (start == 0) + _block_header(len(block), is_last)
        yield from _chunk(b"IDAT", head, block, check * is_last)


@lru_cache(maxsize=256)
def _before_only_block(width: int, height: int, channels: int) -> tuple[bytes, int]:
    """Return what stands before the raw bytes of an only block, and the checksum so far."""
    size = height * (1 + width * channels)
    head = _ZLIB_HEADER + _block_header(size, is_last=True)
    length = (len(head) + size + 4).to_bytes(4, "big")
    before = _header(width, height, channels) + length + b"IDAT" + head
    return before, zlib.crc32(b"IDAT" + head)


def _block_header(size: int, is_last: bool) -> bytes:
    return bytes([is_last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")


def _header(width: int, height: int, channels: int) -> bytes:
    """Return the signature and IHDR: 8 bits a channel, deflate, all filters, not interlaced."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    facts = size + bytes([8, COLOR_TYPES[channels], 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(b"IHDR", facts))


def _chunk(kind: bytes, *data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Yield the chunk whose content is ``data``, one part after the other."""
    crc = zlib.crc32(kind)
    for part in data:
        crc = zlib.crc32(part, crc)
    yield sum(map(len, data)).to_bytes(4, "big") + kind
    yield from data
    yield crc.to_bytes(4, "big")


_ZLIB_HEADER = b"\x78\x01"
_IEND = b"".join(_chunk(b"IEND"))
