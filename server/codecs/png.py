"""PNG files: of one image, or of a sheet of many."""

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STORED = 65535
"""The most bytes that one stored DEFLATE block holds. More bytes, as a sheet has, are worth
compressing; a single image is not. Source: RFC 1951, section 3.2.4."""


def png_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 [n, H, W, 3] as one PNG: the image itself, or a sheet of all of them."""
    return encode_png(images[0] if len(images) == 1 else contact_sheet(images))


def contact_sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [n, H, W, C] side by side, row by row, on black: uint8 [rows * H, cols * W, C].

    There are ``ceil(sqrt(n))`` columns.
    """
    n, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return sheet.reshape(rows * height, columns * width, channels)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 [H, W, 3] as a PNG.

    A small image is stored, not compressed: the same bytes on every machine, whichever zlib it
    has, and a fraction of the work. Source: PNG specification, third edition.
    """
    height, width, channels = image.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each with filter type 0, None
    lines[:, 1:] = image.reshape(height, -1)
    raw = lines.tobytes()
    if len(raw) > STORED:
        return b"".join((_png_header(width, height), _chunk(b"IDAT", zlib.compress(raw, 1)), _IEND))
    before, crc = _before_stored(width, height, len(raw))
    check = zlib.adler32(raw).to_bytes(4, "big")
    crc = zlib.crc32(check, zlib.crc32(raw, crc))
    return b"".join((before, raw, check, crc.to_bytes(4, "big"), _IEND))


@lru_cache(maxsize=256)
def _before_stored(width: int, height: int, size: int) -> tuple[bytes, int]:
    """Return what stands before ``size`` raw bytes of a stored PNG, and the checksum so far.

    The data is a zlib stream of one stored block. Source: RFC 1950 and 1951.
    """
    block = b"\x78\x01\x01" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
    chunk = b"IDAT" + block
    length = (len(block) + size + 4).to_bytes(4, "big")
    return _png_header(width, height) + length + chunk, zlib.crc32(chunk)


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((len(data).to_bytes(4, "big"), kind, data, crc.to_bytes(4, "big")))


def _png_header(width: int, height: int) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    # 8 bits a channel, RGB, deflate, adaptive filters, not interlaced
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")


_IEND = _chunk(b"IEND", b"")
