"""How two clouds of features overlap, by the distances to each point's nearest neighbours.

A ball around every point, as far as its k-th nearest neighbour in its own cloud, stands for where
that cloud is. What is inside of a ball of the other cloud is where both are.

Sources: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative
Models"; Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

NEAREST = 3
"""The neighbour at which a ball of precision and recall ends."""
COVERED = 5
"""The neighbour at which a ball of coverage ends."""


@dataclass(frozen=True)
class Overlap:
    """Three shares of two clouds, each 0 to 1."""

    precision: float
    """The share of images inside of a photograph's ball: how many look like photographs."""
    recall: float
    """The share of photographs inside of an image's ball: how many of them could be drawn."""
    coverage: float
    """The share of photographs with an image in their ball, which outliers do not enlarge."""


def overlap(photographs: Features, images: Features) -> Overlap:
    """Return how features of ``images`` [N, dim] overlap with those of ``photographs`` [M, dim].

    The shares depend on how many points there are: only those of equal counts can be compared. A
    cloud of 5 points or fewer has balls that end at its last neighbour.
    """
    squares = _squares(photographs, images)  # [M, N]
    among_photographs, among_images = _to_neighbours(photographs), _to_neighbours(images)
    return Overlap(
        precision=float((squares <= _ball(among_photographs, NEAREST)[:, None]).any(0).mean()),
        recall=float((squares <= _ball(among_images, NEAREST)).any(1).mean()),
        coverage=float((squares.min(1) <= _ball(among_photographs, COVERED)).mean()),
    )


def _to_neighbours(points: Features) -> Features:
    """Return the squared distances to the nearest neighbours, the point itself first: [N, 6]."""
    squares = _squares(points, points)
    np.fill_diagonal(squares, 0)
    last = min(COVERED, len(points) - 1)
    return np.sort(np.partition(squares, last, axis=1)[:, : last + 1], axis=1)


def _ball(neighbours: Features, k: int) -> Features:
    """Return the squared radius of each point's ball, which ends at its ``k``-th neighbour."""
    return neighbours[:, min(k, neighbours.shape[1] - 1)]


def _squares(a: Features, b: Features) -> Features:
    centre = a.mean(0)  # small numbers lose less in the products
    a, b = a - centre, b - centre
    squares: Features = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.maximum(squares, 0)
