"""Shared memory in which an engine leaves the images of an HTTP worker's requests.

A slot begins with a mark, then come the images, and then what the worker gave with the request:
seeds or latents, and classes. No engine writes there, so that the next one finds them as they were.
"""

import math
import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGN = 64
"""The alignment of slots in bytes: that of a cache line."""


class SlotShape:
    """The layout of one model's images in a slot."""

    def __init__(self, image_shape: Sequence[int], dtype: DTypeLike = np.uint8) -> None:
        self.image_shape = tuple(image_shape)
        self.dtype = np.dtype(dtype)
        """The type of the images' values: uint8, or float32 of float images."""
        self.image_values = math.prod(image_shape)
        self.image_bytes = self.image_values * self.dtype.itemsize

    def size(self, rows: int) -> int:
        """Return the size in bytes of a slot for ``rows`` images and the mark before them.

        What is given with a request begins there, see ``size_of_given``.
        """
        return ALIGN - (-rows * self.image_bytes // ALIGN) * ALIGN

    def rows_in(self, size: int, *given_bytes: int) -> int:
        """Return the number of rows that surely fit into a slot of ``size`` bytes.

        A row is an image, and what is given for it: ``given_bytes`` in each array.
        """
        ends = 2 + sum(map(bool, given_bytes))
        return (size - ends * ALIGN) // (self.image_bytes + sum(given_bytes))


def size_of_given(given: NDArray[Any]) -> int:
    """Return the bytes of a slot that hold what is given with a request."""
    return -(-given.nbytes // ALIGN) * ALIGN


class Arena:
    """Shared memory of one HTTP worker, mapped by the worker and by the engine."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, size: int) -> "Arena":
        """Return a new arena of ``size`` bytes; Linux allocates its pages at the first write."""
        fd = os.memfd_create("carfront-arena")
        os.ftruncate(fd, size)
        return cls(fd, size)

    def images(self, shape: SlotShape, offset: int, rows: int) -> NDArray[Any]:
        """Return the images of the slot at ``offset``: [rows, H, W, C], not a copy."""
        count = rows * shape.image_values
        flat = np.frombuffer(self._map, shape.dtype, count, offset + ALIGN)
        return flat.reshape(rows, *shape.image_shape)

    def given(self, dtype: DTypeLike, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
        """Return what is given with a request, an array of ``shape`` at ``offset``; not a copy."""
        return np.frombuffer(self._map, dtype, math.prod(shape), offset).reshape(shape)

    def give(self, arrays: Iterable[NDArray[Any]], offset: int) -> None:
        """Lay what a request gives at ``offset``, one array behind the other."""
        for array in arrays:
            self.given(array.dtype, array.shape, offset)[...] = array
            offset += size_of_given(array)

    def mark(self, offset: int, runs: bool) -> None:
        """Note in the slot at ``offset`` whether rows of its request run right now."""
        self._map[offset] = runs

    def runs(self, offset: int) -> bool:
        """Whether rows of the slot's request run, or ran when their engine died."""
        return bool(self._map[offset])

    def close(self) -> None:
        """Close the descriptor; the memory is freed when its last view is."""
        os.close(self.fd)
