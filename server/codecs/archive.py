"""Many images in one file: as an array of numbers, or as files of their own."""

import io
import json
import tarfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from server.codecs.pillow import jpeg_bytes
from server.codecs.png import encode_png, png_size

TAR_TIME = 315_532_800
"""The time of every file in a tar: 1980-01-01, as the same images are the same bytes. GNU tar warns
of files from 1970."""


Seeds = Sequence[int] | None
"""The seeds of images, in their order; None of those that were drawn from latents."""


class InParts(NamedTuple):
    """A format that is written part by part: the whole need never be in memory.

    The file is its head, the images of each part, and its tail.
    """

    head: Callable[[tuple[int, ...], Seeds], bytes]
    """Takes the shape [n, H, W, C] and the seeds of all images."""
    images: Callable[[NDArray[np.uint8], Seeds, int], bytes]
    """Takes the images of a part, their seeds, and the number of the first one."""
    tail: bytes = b""
    between: bytes = b""
    """What stands between two images; ``images`` writes it within a part."""
    each: Callable[[tuple[int, ...]], int] | None = None
    """Returns the bytes of one image by its shape [H, W, C], where all have as many."""

    def whole(self, images: NDArray[np.uint8], seeds: Seeds = None) -> bytes:
        """Return the file with ``images``, uint8 [n, H, W, C]."""
        head = self.head(images.shape, seeds)
        return b"".join((head, self.images(images, seeds, 0), self.tail))

    def size(self, shape: tuple[int, ...], seeds: Seeds) -> int | None:
        """Return the bytes of the file with images of ``shape``; None if they are not known."""
        if self.each is None:
            return None
        n, around = shape[0], len(self.head(shape, seeds)) + len(self.tail)
        return around + n * self.each(shape[1:]) + (n - 1) * len(self.between)


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, facts)
    return header.getvalue()


def npy_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return ``images`` as the bytes of a .npy file; they are copied once, not twice."""
    images = np.ascontiguousarray(images)
    return b"".join((_npy_header(images.shape), images.data))


def npy_size(shape: tuple[int, ...]) -> int:
    """Return the number of bytes of a .npy file with images [n, H, W, C] of that shape."""
    return len(_npy_header(shape)) + prod(shape)


def _values(images: NDArray[np.uint8], _: Seeds, __: int) -> bytes:
    return images.tobytes()


def _json_head(_: tuple[int, ...], seeds: Seeds) -> bytes:
    told = "" if seeds is None else f'"seeds": {json.dumps(list(seeds))}, '
    return f'{{"format": "png", {told}"images": ["'.encode()


def _json_images(images: NDArray[np.uint8], _: Seeds, __: int) -> bytes:
    return BETWEEN_TEXTS.join(b64encode(encode_png(image)) for image in images)


def _tar_files(
    suffix: str,
    encode: Callable[[NDArray[np.uint8]], bytes],
    images: NDArray[np.uint8],
    seeds: Seeds,
    first: int,
) -> bytes:
    """Return a file of each image, named as its seed or, without seeds, as its number.

    Source: POSIX.1-1988, ustar.
    """
    names = range(first, first + len(images)) if seeds is None else seeds
    parts: list[bytes] = []
    for name, image in zip(names, images, strict=True):
        content = encode(image)
        head = tarfile.TarInfo(f"{name}{suffix}")
        head.size, head.mtime = len(content), TAR_TIME
        parts += head.tobuf(tarfile.USTAR_FORMAT), content, _padding(len(content))
    return b"".join(parts)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _tar_size(shape: tuple[int, ...]) -> int:
    size = png_size((1, *shape))
    return tarfile.BLOCKSIZE + size + len(_padding(size))


def _nothing(_: tuple[int, ...], __: Seeds) -> bytes:
    return b""


BETWEEN_TEXTS = b'", "'
END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
NPY = InParts(lambda shape, _: _npy_header(shape), _values, each=prod)
"""A .npy file."""
RAW = InParts(_nothing, _values, each=prod)
"""The values alone, in row-major order."""
JSON = InParts(
    _json_head,
    _json_images,
    b'"]}\n',
    BETWEEN_TEXTS,
    lambda shape: 4 * -(-png_size((1, *shape)) // 3),
)
"""The seeds, where there are any, and a PNG in base64 of each image."""
TAR_OF_PNGS = InParts(_nothing, partial(_tar_files, ".png", encode_png), END_OF_TAR, each=_tar_size)
"""A tar with a PNG of each image."""
TAR_OF_JPEGS = InParts(
    _nothing, partial(_tar_files, ".jpg", lambda x: jpeg_bytes(x[np.newaxis])), END_OF_TAR
)
"""A tar with a JPEG of each image."""
