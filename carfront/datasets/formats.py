"""The formats of shards: a tar of PNGs as WebDataset reads it, .npy, and Parquet."""

import io
import tarfile
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from carfront.datasets.shard_file import ShardFile
from carfront.errors import DataSetError
from carfront.png import layout, write_pngs

TAR_TIME = 315_532_800
"""The time of every file in a tar: 1980-01-01, as the same images are the same bytes."""
TAR_END = bytes(1024)
HEAD = 512
"""The bytes of a tar's header, and what all sizes in it are a multiple of."""

Shape = tuple[int, int, int]
"""The height, the width and the number of channels of an image."""


class ShardWriter(Protocol):
    """Writes the encoded blocks of one shard, in their order."""

    def add(self, encoded: Any) -> None: ...
    def close(self) -> None: ...


class Format(NamedTuple):
    """One way to write a shard."""

    suffix: str
    image_bytes: Callable[[Shape], int]
    """Returns the bytes that an image takes in a shard."""
    encode: Callable[[NDArray[np.uint8], range], Any]
    """Returns images uint8 [n, H, W, C] and their seeds as the writer takes them; may run in any
    thread."""
    writer: Callable[[ShardFile, int, Shape], ShardWriter]
    """Returns what writes so many images of a shape into a shard."""
    shard_bytes: Callable[[int, Shape], int] | None
    """Returns the bytes of a shard of so many images, where that is known before."""


class _Bytes:
    """Writes blocks as they are, between a beginning and an end."""

    def __init__(self, file: ShardFile, head: bytes, tail: bytes) -> None:
        self._file = file
        self._tail = tail
        if head:
            file.write(head)

    def add(self, encoded: Any) -> None:
        self._file.write(encoded)

    def close(self) -> None:
        if self._tail:
            self._file.write(self._tail)


def tar_records(images: NDArray[np.uint8], seeds: range) -> NDArray[np.uint8]:
    """Return the files ``{seed}.png`` as a tar has them: uint8 [n, bytes of a header and a file].

    Source: POSIX.1-1988, ustar.
    """
    n, height, width, channels = images.shape
    size = layout(height, width, channels).size
    records = np.zeros((n, tar_image_bytes((height, width, channels))), np.uint8)
    head, check = _tar_head(size)
    names = np.array([b"%d.png" % seed for seed in seeds], "S100").view(np.uint8).reshape(n, 100)
    records[:, :HEAD] = head
    records[:, :100] = names
    sums = (check + names.sum(axis=1, dtype=np.int64)).tolist()
    told = np.array([b"%06o\0 " % number for number in sums], "S8")
    records[:, 148:156] = told.view(np.uint8).reshape(n, 8)
    write_pngs(images, records[:, HEAD : HEAD + size])
    return records


@lru_cache(maxsize=16)
def _tar_head(size: int) -> tuple[NDArray[np.uint8], int]:
    """Return the header of a file without a name, and the sum of its bytes."""
    info = tarfile.TarInfo("")
    info.size, info.mtime = size, TAR_TIME
    head = np.frombuffer(info.tobuf(tarfile.USTAR_FORMAT), np.uint8).copy()
    head[148:156] = ord(" ")  # so it counts in the sum
    return head, int(head.sum(dtype=np.int64))


def tar_image_bytes(shape: Shape) -> int:
    """Return the bytes of a PNG in a tar, with its header."""
    return HEAD + -(-layout(*shape).size // HEAD) * HEAD


def npy_head(images: int, shape: Shape) -> bytes:
    """Return how a .npy file of so many images begins."""
    head = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (images, *shape)}
    npy.write_array_header_1_0(head, facts)
    return head.getvalue()


def format_of(name: str) -> Format:
    """Return the format called ``name``, one of ``FORMATS``.

    Raises:
        DataSetError: it needs a library that is not installed.
    """
    if name == "tar":
        return Format(
            ".tar",
            tar_image_bytes,
            tar_records,
            lambda file, *_: _Bytes(file, b"", TAR_END),
            lambda n, shape: n * tar_image_bytes(shape) + len(TAR_END),
        )
    if name == "npy":
        return Format(
            ".npy",
            prod,
            lambda images, _: np.ascontiguousarray(images),
            lambda file, n, shape: _Bytes(file, npy_head(n, shape), b""),
            lambda n, shape: len(npy_head(n, shape)) + n * prod(shape),
        )
    try:
        from carfront.datasets import parquet
    except ImportError as error:
        raise DataSetError(
            f"format is parquet, which needs pyarrow ({error}): pip install 'carfront[parquet]'"
        ) from error
    return Format(
        ".parquet",
        lambda shape: layout(*shape).size + 16,
        parquet.table,
        lambda file, *_: parquet.ParquetShard(file),
        None,
    )


FORMATS = ("tar", "npy", "parquet")
"""The names of the formats."""
