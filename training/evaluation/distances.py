"""Distances between images by their pixels: of all pairs, and to the nearest of many.

A distance is the root mean square difference of two images' values, in grey levels (0 to 255), so
that it means the same at every size. Images of more than 32 pixels a side are made small first: in
larger images, a car moved by a pixel is as far away as another car.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 32
"""The largest pixels a side at which images are compared; larger images are averaged down."""
BLOCK = 2048
"""The number of images in a block, which bounds the memory for distances."""

Vectors = NDArray[np.float32]
Progress = Callable[[float], None]
"""The function that is told from time to time which part is done, 0 to 1."""


def vectors(images: NDArray[np.uint8]) -> Vectors:
    """Return images [N, size, size, C] as float32 [N, values], of 32 pixels a side at most."""
    count, size, _, channels = images.shape
    small = min(size, LARGEST)
    by = size // small
    blocks = images[:, : small * by, : small * by].reshape(count, small, by, small, by, channels)
    means: Vectors = blocks.mean((2, 4), dtype=np.float32)
    return means.reshape(count, -1)


def mirrored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the images mirrored left to right."""
    return images[:, :, ::-1]


def mean_pairwise(points: Vectors, progress: Progress = lambda _: None) -> float:
    """Return the mean distance of any two of ``points``, float32 [N, values], N from 2."""
    points = points - points.mean(0)  # small numbers lose less in the products
    total, count = 0.0, len(points)
    for rows in _blocks(count):
        total += float(np.sqrt(_squares(points[rows], points)).sum(dtype=np.float64))
        progress(rows.stop / count)
    return total / (count * (count - 1))


@dataclass(frozen=True)
class Nearest:
    """The nearest photograph of each of N images, and the distances of the two nearest."""

    index: NDArray[np.int64]
    """The index of the nearest photograph, [N]."""
    flipped: NDArray[np.bool_]
    """Whether the nearest photograph is nearer mirrored, [N]."""
    distance: NDArray[np.float64]
    """The distance of the nearest photograph in grey levels, [N]."""
    second: NDArray[np.float64]
    """The distance of the second nearest photograph in grey levels, [N]."""

    @property
    def ratio(self) -> NDArray[np.float64]:
        """The nearest distance over the second nearest, [N]: near 0 for a copy, usually near 1."""
        return self.distance / np.maximum(self.second, np.finfo(float).tiny)


def nearest(
    images: NDArray[np.uint8],
    photographs: NDArray[np.uint8],
    own: NDArray[np.int64] | None = None,
    progress: Progress = lambda _: None,
) -> Nearest:
    """Return the nearest of ``photographs``, as they are or mirrored, to each of ``images``.

    ``own``, int64 [N], is the index of the photograph that each image itself is, which is left out;
    None leaves out none. There must be at least 3 photographs.
    """
    points = vectors(images)
    centre = points.mean(0)
    best = np.full((len(points), 2), np.inf, np.float32)
    index = np.zeros((len(points), 2), np.int64)
    for block in _blocks(len(photographs)):
        some = photographs[block]
        squares = np.minimum(
            _squares(points - centre, vectors(some) - centre),
            _squares(points - centre, vectors(mirrored(some)) - centre),
        )
        if own is not None:
            inside = np.flatnonzero((own >= block.start) & (own < block.stop))
            squares[inside, own[inside] - block.start] = np.inf
        _keep_two(best, index, squares, block.start)
        progress(block.stop / len(photographs))
    return _exactly(points, photographs, index)


def _keep_two(best: Vectors, index: NDArray[np.int64], squares: Vectors, start: int) -> None:
    """Merge squared distances to the photographs from ``start`` on into the two ``best`` ones."""
    pair = np.argpartition(squares, min(1, squares.shape[1] - 1), axis=1)[:, :2]
    found = np.concatenate([best, np.take_along_axis(squares, pair, 1)], axis=1)
    names = np.concatenate([index, pair + start], axis=1)
    order = np.argsort(found, axis=1, kind="stable")[:, :2]
    best[:] = np.take_along_axis(found, order, 1)
    index[:] = np.take_along_axis(names, order, 1)


def _exactly(points: Vectors, photographs: NDArray[np.uint8], index: NDArray[np.int64]) -> Nearest:
    """Return the two nearest photographs, measured again without the products' rounding."""
    sides = []
    for k in (0, 1):
        found = photographs[index[:, k]]
        forms = [vectors(found), vectors(mirrored(found))]
        sides.append(
            [np.sqrt(np.square(points - form).mean(1, dtype=np.float64)) for form in forms]
        )
    both = np.array(sides)  # [nearest or second, straight or mirrored, N]
    distance = both.min(1)
    order = np.argsort(distance, axis=0, kind="stable")
    distance = np.take_along_axis(distance, order, 0)
    every = np.arange(len(points))
    flipped = both.argmin(1)[order[0], every] == 1
    return Nearest(index[every, order[0]], flipped, distance[0], distance[1])


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _squares(a: Vectors, b: Vectors) -> Vectors:
    """Return the mean squared differences of all pairs, float32 [len(a), len(b)], at least 0."""
    squares: Vectors = a @ b.T
    squares *= -2
    squares += np.square(a).sum(1)[:, None]
    squares += np.square(b).sum(1)
    squares /= a.shape[1]
    return np.maximum(squares, 0, out=squares)
