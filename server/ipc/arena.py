"""Shared memory in which an engine leaves the images of an HTTP worker's requests."""

import math
import mmap
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ALIGN = 64
"""The alignment of slots in bytes: that of a cache line."""


class SlotShape:
    """The layout of one model's images in a slot."""

    def __init__(self, image_shape: Sequence[int]) -> None:
        self.image_shape = tuple(image_shape)
        self.image_bytes = math.prod(image_shape)

    def size(self, rows: int) -> int:
        """Return the size in bytes of a slot for ``rows`` images and the mark before them."""
        return ALIGN - (-rows * self.image_bytes // ALIGN) * ALIGN

    def rows_in(self, size: int) -> int:
        """Return the number of images that surely fit into a slot of ``size`` bytes."""
        return (size - 2 * ALIGN) // self.image_bytes


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

    def images(self, shape: SlotShape, offset: int, rows: int) -> NDArray[np.uint8]:
        """Return the images of the slot at ``offset``: uint8 [rows, H, W, C], not a copy."""
        flat = np.frombuffer(self._map, np.uint8, rows * shape.image_bytes, offset + ALIGN)
        return flat.reshape(rows, *shape.image_shape)

    def mark(self, offset: int, runs: bool) -> None:
        """Note in the slot at ``offset`` whether rows of its request run right now."""
        self._map[offset] = runs

    def runs(self, offset: int) -> bool:
        """Whether rows of the slot's request run, or ran when their engine died."""
        return bool(self._map[offset])

    def close(self) -> None:
        """Close the descriptor; the memory is freed when its last view is."""
        os.close(self.fd)
