"""The way from one seed's latents to another's, in steps: the frames of a morph.

Normal latents lie near a sphere around zero, where few of them are near its centre: their way is an
arc (spherical interpolation). Uniform latents fill a cube, which an arc would leave: their way is a
straight line. Source: White 2016, "Sampling Generative Networks".
"""

import numpy as np
from numpy.typing import NDArray

from server.bundle.latents import latents
from server.bundle.manifest import LatentsFacts


def way(
    first: int, last: int, steps: int, truncation: float, facts: LatentsFacts
) -> NDArray[np.float32]:
    """Return ``steps`` latents from those of the seed ``first`` to those of ``last``.

    They are float32 [steps, dim]. The ends are the latents of the seeds bit by bit, multiplied by
    ``truncation`` as an engine does it.
    """
    ends = latents((first, last), facts.dim, facts.distribution)
    if truncation != 1.0:
        ends *= np.float32(truncation)
    parts = np.linspace(0.0, 1.0, steps)
    between = straight if facts.distribution == "uniform" else spherical
    points = between(ends[0].astype(np.float64), ends[1].astype(np.float64), parts)
    rows = points.astype(np.float32)
    rows[0], rows[-1] = ends
    return rows


def straight(
    first: NDArray[np.float64], last: NDArray[np.float64], parts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the points of the line from ``first`` to ``last`` at ``parts`` of it, in [0, 1].

    ``first`` and ``last`` are float64 [dim], the points float64 [len(parts), dim].
    """
    return first + parts[:, np.newaxis] * (last - first)


def spherical(
    first: NDArray[np.float64], last: NDArray[np.float64], parts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the points of the arc from ``first`` to ``last`` at ``parts`` of it, in [0, 1].

    The direction turns evenly, and the length changes evenly. The shapes are those of ``straight``.
    Opposite vectors have an arc too, one of the many that there are; equal ones stay where they
    are, and so do the directions of a vector of zeros.
    """
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    if not all(lengths):
        return straight(first, last, parts)
    start, end = first / lengths[0], last / lengths[1]
    cosine = start @ end
    aside = end - cosine * start
    sine = np.linalg.norm(aside)
    angles = np.arctan2(sine, cosine) * parts[:, np.newaxis]
    if sine < 1e-9:
        aside = _perpendicular(start)
        sine = np.linalg.norm(aside)
    across = aside / sine if sine else aside  # of one dimension, nothing is across
    length = straight(np.array([lengths[0]]), np.array([lengths[1]]), parts)
    points: NDArray[np.float64] = length * (np.cos(angles) * start + np.sin(angles) * across)
    return points


def _perpendicular(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector that is perpendicular to ``direction``, and no vector of zeros."""
    axis = np.zeros_like(direction)
    axis[np.abs(direction).argmin()] = 1.0
    return axis - (axis @ direction) * direction
