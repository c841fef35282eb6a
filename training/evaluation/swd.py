"""The sliced Wasserstein distance: how far generated images are from real ones, scale by scale.

It needs no network. Both sets are taken apart into Laplacian pyramids down to 16 pixels; of every
level, 128 patches of 7x7 pixels an image become descriptors, normalised a colour channel by the
set's own mean and deviation; and the two clouds of descriptors are compared along 512 random
directions. Numbers are times 1,000, as in the paper, and smaller is better.

Because each set is normalised by its own statistics, a tint or a contrast that all its images
share is invisible here, in the paper's definition too: ``colour.py`` reports those.

Source: Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", section 5. That the deviation is the set's own, that the borders mirror, and that
images are 8 bits a channel, is as in the authors' published program.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATCH = 7
"""Pixels along one side of a descriptor."""
PATCHES = 128
"""Descriptors taken from an image at every level."""
REPEATS = 4
DIRECTIONS = 128
"""Random directions a repeat: 512 in all."""
SMALLEST = 16
"""Pixels along one side of the coarsest level."""
TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Burt and Adelson's filter, along one axis."""


@dataclass(frozen=True)
class SwdResult:
    """The distances of one comparison, times 1,000."""

    levels: dict[int, float]
    """A level's distance by its pixels along one side, finest first."""
    images: int
    """How many images each set held; distances of other counts are not comparable."""

    @property
    def mean(self) -> float:
        """The mean over the levels: the number that ranks checkpoints."""
        return sum(self.levels.values()) / len(self.levels)


def sliced_wasserstein(
    real: NDArray[np.uint8], fake: NDArray[np.uint8], seed: int = 0
) -> SwdResult:
    """Return the distance between two sets of uint8 images [N, size, size, C] of equal shape.

    The same ``seed`` gives the same patches and directions, in both sets and in every call, so
    the distance is symmetric and that of a set to itself is 0.

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
    """Cut patches out of ``level`` and normalise them by their channels' means and deviations.

    ``corners`` int64 [2, N, patches] holds the upper left corners' rows and columns. Returns
    float32 [N * patches, 147] for three channels.
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
    """Blur, and keep every second row and column."""
    return _along_both(_blur(level.shape[1])[::2], level)


def _double(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put zeros between rows and columns, and blur to four times the weight."""
    return _along_both(2 * _blur(2 * level.shape[1])[:, ::2], level)


def _along_both(matrix: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply ``matrix`` to the rows and to the columns of images [N, size, size, C]."""
    count, size, _, channels = level.shape
    rows = matrix @ level.reshape(count, size, -1)  # [N, new, size * C]
    columns = rows.reshape(count, -1, size, channels).transpose(0, 1, 3, 2) @ matrix.T
    return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))
