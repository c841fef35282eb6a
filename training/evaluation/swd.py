"""The sliced Wasserstein distance: how far generated images are from real ones, scale by scale.

The distance needs no network. Both sets are decomposed into Laplacian pyramids down to 16 pixels.
At every level, 128 patches of 7x7 pixels of each image become descriptors, each channel of which is
normalised by the set's own mean and deviation. The two clouds of descriptors are compared along 512
random directions. Distances are times 1,000, as in the paper, and smaller is better.

As each set is normalised by its own statistics, a tint or a contrast that all its images share does
not affect the distance, in the paper's definition too; ``colour.py`` measures these.

Source: Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", section 5. As in the authors' published program, the deviation is the set's own, borders
mirror, and images have 8 bits a channel.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATCH = 7
"""The pixels along one side of a descriptor."""
PATCHES = 128
"""The number of descriptors taken from an image at every level."""
REPEATS = 4
DIRECTIONS = 128
"""The number of random directions in each of the ``REPEATS``, 512 in all."""
SMALLEST = 16
"""The pixels along one side of the coarsest level."""
TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""The taps of Burt and Adelson's filter, along one axis."""


@dataclass(frozen=True)
class SwdResult:
    """The distances of one comparison, times 1,000."""

    levels: dict[int, float]
    """The distance of each level, by its pixels along one side, finest first."""
    images: int
    """The number of images in each set; distances of other numbers cannot be compared."""

    @property
    def mean(self) -> float:
        """The mean distance over the levels, by which checkpoints are ranked."""
        return sum(self.levels.values()) / len(self.levels)


def sliced_wasserstein(
    real: NDArray[np.uint8], fake: NDArray[np.uint8], seed: int = 0
) -> SwdResult:
    """Return the distance between two sets of uint8 images [N, size, size, C] of equal shape.

    The same ``seed`` gives the same patches and directions, in both sets and in every call, so the
    distance is symmetric, and that of a set from itself is 0.

    Raises:
        ValueError: the shapes differ, or the size is not 16 times a power of two.
    """
    if real.shape != fake.shape:
        raise ValueError(f"images of shapes {real.shape} and {fake.shape}; wanted equal shapes")
    levels = {}
    for size in _sizes(real.shape[1:3]):
        rng = np.random.default_rng([seed, size])
        corners = rng.integers(0, size - PATCH + 1, (2, len(real), PATCHES))
        a, b = (descriptors(level_of(images, size), corners) for images in (real, fake))
        levels[size] = 1e3 * _distance(a, b, rng)
    return SwdResult(levels, len(real))


def level_of(images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Return one level of the images' Laplacian pyramids, float32 [N, size, size, C].

    The coarsest level, of 16 pixels, is the image itself, made small.
    """
    level = images.astype(np.float32)
    while level.shape[1] > size:
        level = _halve(level)
    return level - _double(_halve(level)) if size > SMALLEST else level


def descriptors(level: NDArray[np.float32], corners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return patches of ``level``, normalised by their channels' means and deviations.

    ``corners``, int64 [2, N, patches], holds the rows and columns of the patches' upper left
    corners. The descriptors are float32 [N * patches, 147] for three channels.
    """
    window = (PATCH, PATCH)
    views = np.lib.stride_tricks.sliding_window_view(level, window, axis=(1, 2))
    image = np.arange(len(level))[:, None]
    patches = views.transpose(0, 1, 2, 4, 5, 3)[image, *corners]  # [N, patches, 7, 7, C]
    cloud: NDArray[np.float32] = patches.reshape(-1, PATCH * PATCH, level.shape[-1])
    cloud -= _channel_means(cloud)
    deviation = np.sqrt(_channel_means(np.square(cloud)))
    cloud /= np.where(deviation > 0, deviation, 1)  # a flat set stays 0
    return cloud.reshape(len(cloud), -1)


def _channel_means(cloud: NDArray[np.float32]) -> NDArray[np.float32]:
    means: NDArray[np.float64] = cloud.mean(0, dtype=np.float64).mean(0)
    return means.astype(np.float32)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32], rng: np.random.Generator) -> float:
    """Return the mean distance of the sorted projections, over all random directions."""
    projected = np.empty((2, DIRECTIONS, len(a)), np.float32)
    found = []
    with ThreadPoolExecutor(2) as pool:  # NumPy sorts outside Python's lock
        for _ in range(REPEATS):
            directions = rng.standard_normal((DIRECTIONS, a.shape[1]), np.float32)
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            np.matmul(directions, a.T, out=projected[0])
            np.matmul(directions, b.T, out=projected[1])
            list(pool.map(np.ndarray.sort, projected))
            projected[0] -= projected[1]
            found.append(np.abs(projected[0], out=projected[0]).mean(dtype=np.float64))
    return float(np.mean(found))


def _sizes(shape: tuple[int, int]) -> list[int]:
    """Return the pyramid's sizes, from the images' own down to 16."""
    sizes = [SMALLEST << k for k in range(8)]
    if shape[0] != shape[1] or shape[0] not in sizes:
        raise ValueError(f"images of {shape[0]}x{shape[1]} pixels; wanted squares of {sizes}")
    return [size for size in reversed(sizes) if size <= shape[0]]


def _blur(size: int) -> NDArray[np.float32]:
    """Return the filter along one axis of ``size`` pixels as a matrix; borders mirror."""
    reach = len(TAPS) // 2
    pixels = np.pad(np.arange(size), reach, mode="reflect")
    matrix = np.zeros((size, size), np.float32)
    for k, tap in enumerate(TAPS):
        np.add.at(matrix, (np.arange(size), pixels[k : k + size]), tap)
    return matrix


def _halve(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images blurred, with every second row and column of them."""
    return _along_both(_blur(level.shape[1])[::2], level)


def _double(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images with zeros between rows and columns, blurred to four times the weight."""
    return _along_both(2 * _blur(2 * level.shape[1])[:, ::2], level)


def _along_both(matrix: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply ``matrix`` to the rows and to the columns of images [N, size, size, C]."""
    count, size, _, channels = level.shape
    rows = matrix @ level.reshape(count, size, -1)  # [N, new, size * C]
    columns = rows.reshape(count, -1, size, channels).transpose(0, 1, 3, 2) @ matrix.T
    return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))
