"""Memorisation: does the generator draw cars, or repeat photographs that it was trained on?

For every generated image, the nearest training photograph is found, as it is or mirrored, since
training mirrors photographs. The reference for "near" is made of photographs that the generator
could not have copied: those held out of training, or, if none were held out, each training
photograph against all the others. A generator that copies has many images nearer to a photograph
than photographs ever are to each other.

Plain distances favour smooth images, which are nearer to everything. A copy stands out in another
way, too: it is far nearer to one photograph than to the second nearest, as twins in the data are.
Both near images and twins are counted. Nearly 4 % of CIFAR-10's cars have such a twin (Barz and
Denzler 2020 found as many in its test set). Photographs with a twin are left out of the reference,
since a new image ought to be no twin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Nearest, Progress, nearest

QUANTILE = 0.01
"""The quantile of the distances of photographs without a twin below which an image is near."""
TWIN = 0.75
"""The part of the second nearest's distance below which two images are one and the same scene."""


@dataclass(frozen=True)
class Memorisation:
    """The nearest training photographs of generated images, and of reference photographs."""

    generated: Nearest
    real: Nearest
    held_out: bool
    """Whether ``real`` is of photographs held out, not of the training photographs themselves."""

    @property
    def near(self) -> float:
        """The distance in grey levels below which an image is near to a photograph."""
        return float(np.quantile(self._bar, QUANTILE))

    @property
    def near_share(self) -> float:
        """The share of generated images that are near to a photograph; 0.01 is expected."""
        return float((self.generated.distance < self.near).mean())

    @property
    def copied(self) -> float:
        """The share of generated images that are the twin of a training photograph."""
        return float((self.generated.ratio < TWIN).mean())

    @property
    def twins(self) -> float:
        """The share of photographs that have a twin among the others, as the data set repeats."""
        return float((self.real.ratio < TWIN).mean())

    @property
    def nearer(self) -> float:
        """The lead of the generated distances' distribution: 0 if nowhere nearer, 1 if wholly."""
        return ahead(self.generated.distance, self._bar)

    @property
    def farther(self) -> float:
        """The lag of the generated distances' distribution: 0 if nowhere farther, 1 if wholly."""
        return ahead(self._bar, self.generated.distance)

    @property
    def _bar(self) -> NDArray[np.float64]:
        alone = self.real.ratio >= TWIN
        return self.real.distance[alone] if alone.any() else self.real.distance


def memorisation(
    generated: NDArray[np.uint8],
    training: NDArray[np.uint8],
    held_out: NDArray[np.uint8] | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Memorisation:
    """Compare uint8 images [N, size, size, C] with all photographs in ``training``.

    The reference is ``held_out``, or without it the training photographs, each against all others.
    A random choice of the reference is taken if it has more photographs than there are images.
    """
    rng = np.random.default_rng(seed)
    known = training if held_out is None else held_out
    chosen = np.sort(rng.permutation(len(known))[: len(generated)])
    own = chosen if held_out is None else None
    return Memorisation(
        nearest(generated, training, progress=lambda part: progress(part / 2)),
        nearest(known[chosen], training, own, progress=lambda part: progress((1 + part) / 2)),
        held_out is not None,
    )


def ahead(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest excess, over all values, of the share of ``one`` below over ``other``'s.

    Source: the one-sided statistic of Smirnov's test for two samples.
    """
    values = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (one, other)]
    return float(max(0.0, (shares[0] - shares[1]).max()))
