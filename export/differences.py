"""The differences between two sets of images, in the numbers that the tolerances limit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.head import HALF_RANGE, to_uint8
from export.tolerances import Tolerance

PART = 64
"""The rows that are compared at a time, which bounds the memory."""
PSNR_CAP = 99.0
"""The PSNR in decibels that stands for equal images, whose ratio is infinite."""
FLOAT32_LEVEL = 2.0**-15
"""A difference in grey levels: twice what float32 cannot tell apart near 255."""


@dataclass(frozen=True)
class Difference:
    """The difference between a session's images and the SavedModel's, both uint8.

    ``Tolerance`` explains the first four numbers.
    """

    levels: int
    mean_levels: float
    share_above_one: float
    psnr_db: float
    worst_row: int
    """The row with the largest difference."""
    worst: str = ""
    """The name of that row by its kind of latents, such as "seeds[17]"."""


def compare(images: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> Difference:
    """Return the difference of ``images`` from those ``wanted``, both uint8 [N, H, W, C]."""
    counts = np.zeros(256, np.int64)
    by_row = []
    for start in range(0, len(images), PART):
        part = slice(start, start + PART)
        off = np.abs(images[part].astype(np.int16) - wanted[part].astype(np.int16))
        counts += np.bincount(off.ravel(), minlength=256)
        by_row.append(_by_row(off).max(axis=1))
    levels = np.arange(256)
    mse = float(counts @ levels**2 / images.size)
    psnr = 10 * math.log10(255.0**2 / mse) if mse else PSNR_CAP
    return Difference(
        levels=int(np.flatnonzero(counts)[-1]),
        mean_levels=float(counts @ levels / images.size),
        share_above_one=float(counts[2:].sum() / images.size),
        psnr_db=min(psnr, PSNR_CAP),
        worst_row=int(np.argmax(np.concatenate(by_row))),
    )


def exceeded(found: Difference, limit: Tolerance) -> Iterator[str]:
    """Yield a text for each limit that ``found`` exceeds."""
    if found.levels > limit.levels:
        yield f"largest difference {found.levels} grey levels (limit {limit.levels})"
    if found.mean_levels > limit.mean_levels:
        yield f"mean difference {found.mean_levels:.4f} grey levels (limit {limit.mean_levels})"
    if found.share_above_one > limit.share_above_one:
        share, most = found.share_above_one, limit.share_above_one
        yield f"{share:.3%} of values off by more than one grey level (limit {most:.1%})"
    if found.psnr_db < limit.psnr_db:
        yield f"PSNR {found.psnr_db:.1f} dB (limit {limit.psnr_db} dB)"


def off_boundary(
    images: NDArray[np.uint8], wanted: NDArray[np.float32], floats: float
) -> NDArray[np.intp]:
    """Return the rows with a byte that differs although its float is far from a rounding boundary.

    ``wanted`` is float32 in [-1, 1]; ``floats`` is the largest error of a float in that range.
    """
    differs = np.flatnonzero(images != to_uint8(wanted))  # few of all values
    levels = (wanted.ravel()[differs].astype(np.float64) + 1) * HALF_RANGE
    to_boundary = np.abs(levels - np.floor(levels) - 0.5)
    far = to_boundary > floats * HALF_RANGE + FLOAT32_LEVEL
    return np.unique(differs[far] // (wanted.size // len(wanted)))


def _by_row(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values.reshape(len(values), -1)
