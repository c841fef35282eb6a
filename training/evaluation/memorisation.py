"""Memorisation: does the generator draw cars, or repeat photographs that it was trained on?

For every generated image the nearest training photograph is looked up, mirrored ones counted in,
for training mirrors them. How near is near is told by photographs that the generator could not
have copied: those held out of training, or where none were, each training photograph against all
the others. A generator that copies has many images nearer to a photograph than photographs ever
are to each other.

Plain distances favour smooth images: those are nearer to everything. A copy stands out another
way, too: it is far nearer to one photograph than to the second nearest, as twins in the data are.
Both are counted. Nearly 4 % of CIFAR-10's cars have such a twin (Barz and Denzler 2020 found as
many in its test set); they are kept from setting the bar, for a new image ought to be no twin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Nearest, Progress, nearest

QUANTILE = 0.01
"""Of the distances of photographs without a twin; nearer than that is near."""
TWIN = 0.75
"""Of the second nearest's distance; two images nearer than that are one and the same scene."""


@dataclass(frozen=True)
class Memorisation:
    """Generated images' nearest training photographs, beside those of other photographs."""

    generated: Nearest
    real: Nearest
    held_out: bool
    """Whether ``real`` is of photographs held out, not of the training photographs themselves."""

    @property
    def near(self) -> float:
        """The distance that a hundredth of the photographs without a twin are nearer than."""
        return float(np.quantile(self._bar, QUANTILE))

    @property
    def near_share(self) -> float:
        """Which part of the generated images is nearer than that; 0.01 is expected."""
        return float((self.generated.distance < self.near).mean())

    @property
    def copied(self) -> float:
        """Which part of the generated images is the twin of a training photograph."""
        return float((self.generated.ratio < TWIN).mean())

    @property
    def twins(self) -> float:
        """Which part of the photographs has a twin among the others: what the data set repeats."""
        return float((self.real.ratio < TWIN).mean())

    @property
    def nearer(self) -> float:
        """How far the generated distances' distribution runs ahead: 0 nowhere nearer, 1 wholly."""
        return ahead(self.generated.distance, self._bar)

    @property
    def farther(self) -> float:
        """How far it lags behind: 0 nowhere farther, 1 wholly."""
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
    """Compare uint8 images [N, size, size, C] with all of ``training``'s photographs.

    The reference is ``held_out``, or without it a random choice of the training photographs, each
    against all others; of either no more than there are generated images.
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
    """Return by how much the share of ``one`` below a value exceeds ``other``'s, at most.

    Source: the one-sided statistic of Smirnov's test for two samples.
    """
    values = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (one, other)]
    return float(max(0.0, (shares[0] - shares[1]).max()))
