"""Distances between images by their pixels: of all pairs, and to the nearest of many.

A distance is the root mean square difference of two images' values, in grey levels (0 to 255), so
that it means the same at every size. Images of more than 32 pixels a side are made small first:
in larger ones a car moved by a pixel is as far away as another car.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 32
"""Pixels a side at which images are compared; larger ones are averaged down to it."""
BLOCK = 2048
"""Images multiplied with each other at once: what keeps a block of distances small."""

Vectors = NDArray[np.float32]
Progress = Callable[[float], None]
"""Is told from time to time which part is done, 0 to 1."""


def vectors(images: NDArray[np.uint8]) -> Vectors:
    """Return images [N, size, size, C] as float32 [N, values], of 32 pixels a side at most."""
    count, size, _, channels = images.shape
    small = min(size, LARGEST)
    by = size // small
    blocks = images[:, : small * by, : small * by].reshape(count, small, by, small, by, channels)
    means: Vectors = blocks.mean((2, 4), dtype=np.float32)
    return means.reshape(count, -1)


def mirrored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the images as a mirror shows them, left to right."""
    return images[:, :, ::-1]


def mean_pairwise(points: Vectors, progress: Progress = lambda _: None) -> float:
    """Return the mean distance of any two of ``points`` float32 [N, values]; 2 of them at least."""
    points = points - points.mean(0)  # small numbers lose less in the products
    total, count = 0.0, len(points)
    for rows in _blocks(count):
        total += float(np.sqrt(_squares(points[rows], points)).sum(dtype=np.float64))
        progress(rows.stop / count)
    return total / (count * (count - 1))


@dataclass(frozen=True)
class Nearest:
    """For each of N images, the nearest of a set of photographs, and how far the next one is."""

    index: NDArray[np.int64]
    """Which photograph is the nearest."""
    flipped: NDArray[np.bool_]
    """Whether it is so in the mirror."""
    distance: NDArray[np.float64]
    """How far it is, in grey levels."""
    second: NDArray[np.float64]
    """How far the second nearest photograph is, in grey levels."""

    @property
    def ratio(self) -> NDArray[np.float64]:
        """The nearest's distance over the second nearest's; a copy's is near 0, and 1 is usual."""
        return self.distance / np.maximum(self.second, np.finfo(float).tiny)


def nearest(
    images: NDArray[np.uint8],
    photographs: NDArray[np.uint8],
    own: NDArray[np.int64] | None = None,
    progress: Progress = lambda _: None,
) -> Nearest:
    """Find the nearest of ``photographs`` to each of ``images``; a mirrored one counts as itself.

    ``own`` int64 [N] names for each image the photograph that it is itself, which is left out.
    There are 3 photographs at least.
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
    """Merge a block of squared distances, of photographs from ``start`` on, into the best two."""
    pair = np.argpartition(squares, min(1, squares.shape[1] - 1), axis=1)[:, :2]
    found = np.concatenate([best, np.take_along_axis(squares, pair, 1)], axis=1)
    names = np.concatenate([index, pair + start], axis=1)
    order = np.argsort(found, axis=1, kind="stable")[:, :2]
    best[:] = np.take_along_axis(found, order, 1)
    index[:] = np.take_along_axis(names, order, 1)


def _exactly(points: Vectors, photographs: NDArray[np.uint8], index: NDArray[np.int64]) -> Nearest:
    """Measure the two photographs that were found anew, without the products' rounding."""
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
    """Return the mean squared differences of all pairs, float32 [len(a), len(b)]; never below 0."""
    squares: Vectors = a @ b.T
    squares *= -2
    squares += np.square(a).sum(1)[:, None]
    squares += np.square(b).sum(1)
    squares /= a.shape[1]
    return np.maximum(squares, 0, out=squares)
