"""Diversity: how different generated images are from each other, compared with photographs.

A generator that draws few cars over and over (mode collapse) has a small mean distance between two
of its images. The distance is measured on whole images and on images made small, to 16 pixels a
side: noise can keep the first distance large although all scenes are the same, which the second
distance shows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Progress, mean_pairwise, vectors
from training.evaluation.swd import SMALLEST, level_of


@dataclass(frozen=True)
class Diversity:
    """The mean distances of two images of one set, in grey levels."""

    pixels: float
    """The mean distance of whole images."""
    coarse: float
    """The mean distance of the images made small, to 16 pixels a side."""


def diversity(images: NDArray[np.uint8], progress: Progress = lambda _: None) -> Diversity:
    """Return the mean distances of any two of ``images``, uint8 [N, size, size, C], N from 2."""
    fine = mean_pairwise(vectors(images), progress)
    return Diversity(fine, mean_pairwise(level_of(images, SMALLEST).reshape(len(images), -1)))
