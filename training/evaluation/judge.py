"""All measures of one set of generated images, each with the same measure of photographs.

A distance between two samples is above 0 even when both are of one distribution, and the more so
the fewer images there are. So the photographs are cut into two random halves, and so are the
generated images, and every distance is taken between halves. The baseline is the distance of one
half of the photographs from the other. The generator's number is the mean of the distances of its
two halves, each from one half of the photographs. All three comparisons have the same number of
images. Where photographs were held out of the training, they are the second half.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluation import classifier
from training.evaluation.colour import colour
from training.evaluation.distances import Progress
from training.evaluation.diversity import Diversity, diversity
from training.evaluation.feature_distances import frechet_distance, kernel_distance
from training.evaluation.inception import features
from training.evaluation.memorisation import Memorisation, memorisation
from training.evaluation.neighbours import overlap
from training.evaluation.swd import sliced_wasserstein

Images = NDArray[np.uint8]
Step = Callable[[str], Progress]
"""The function that is told the name of a step as it begins, and returns its ``Progress``."""


class Pair(NamedTuple):
    """One measure of the generator, and its baseline: photographs against other photographs."""

    generated: float
    baseline: float


@dataclass(frozen=True)
class Likeness:
    """How the classifier's features of the images are like those of the photographs."""

    frechet: Pair
    """The Frechet distance of the features."""
    precision: Pair
    recall: Pair
    coverage: Pair
    """The three shares of ``neighbours.Overlap``."""
    cars: Pair
    """The share of images, and of photographs, that the classifier takes for cars."""

    def as_json(self) -> dict[str, Any]:
        """Return the measures by their names."""
        return {name: getattr(self, name)._asdict() for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Judgement:
    """All measures of one generator."""

    images: int
    """The number of images in each half."""
    swd: Pair
    swd_levels: dict[int, Pair]
    """The distance of each level, by its pixels along one side, finest first."""
    colour: Pair
    """The largest difference of a channel's mean or deviation, in grey levels."""
    diversity: Diversity
    real_diversity: Diversity
    memorisation: Memorisation
    likeness: Likeness
    fid: Pair | None = None
    """The Frechet distance; None without InceptionV3."""
    kid: Pair | None = None
    """The kernel distance times 1,000; None without InceptionV3."""

    def as_json(self) -> dict[str, Any]:
        """Return the measures that ``evaluation.json`` holds."""
        memory = self.memorisation
        levels = {str(size): pair._asdict() for size, pair in self.swd_levels.items()}
        return {
            "images_per_half": self.images,
            "classifier": self.likeness.as_json(),
            "swd_x1e3": {"mean": self.swd._asdict(), "levels": levels},
            "fid": self.fid and self.fid._asdict(),
            "kid_x1e3": self.kid and self.kid._asdict(),
            "colour_grey_levels": self.colour._asdict(),
            "diversity_grey_levels": {
                name: {
                    "generated": getattr(self.diversity, name),
                    "photographs": getattr(self.real_diversity, name),
                }
                for name in ("pixels", "coarse")
            },
            "memorisation": {
                "reference": "held out" if memory.held_out else "each against the others",
                "near_grey_levels": memory.near,
                "near_share": memory.near_share,
                "copied_share": memory.copied,
                "photographs_with_a_twin": memory.twins,
                "nearer": memory.nearer,
                "farther": memory.farther,
                "generated_grey_levels": _quantiles(memory.generated.distance),
                "photographs_grey_levels": _quantiles(memory.real.distance),
            },
        }


def judge(
    generated: Images,
    photographs: Images,
    held_out: Images | None,
    step: Step,
    seed: int = 0,
    inception: Any = None,
) -> Judgement:
    """Measure ``generated`` against ``photographs``, both uint8 [N, size, size, 3].

    ``held_out`` are photographs that were not trained on, None without such. ``inception`` is the
    network for FID and KID, None without one.
    """
    real, fake = _halves(photographs, held_out, generated, seed)
    distances = _in_halves(real, fake, lambda a, b: sliced_wasserstein(a, b, seed), step("SWD"))
    levels = {size: _pair([d.levels[size] for d in distances]) for size in distances[0].levels}
    tints = _in_halves(real, fake, lambda a, b: colour(a).difference(colour(b)))
    fid, kid = _of_features(inception, real, fake, step, seed) if inception else (None, None)
    return Judgement(
        images=len(real[0]),
        swd=_pair([distance.mean for distance in distances]),
        swd_levels=levels,
        colour=_pair(tints),
        diversity=diversity(np.concatenate(fake), step("diversity")),
        real_diversity=diversity(np.concatenate(real), step("diversity of the photographs")),
        memorisation=memorisation(
            generated, photographs, held_out, seed, step("nearest photographs")
        ),
        likeness=_likeness(real, fake, step),
        fid=fid,
        kid=kid,
    )


def _halves(
    photographs: Images, held_out: Images | None, generated: Images, seed: int
) -> tuple[tuple[Images, Images], tuple[Images, Images]]:
    """Cut both sets into halves, all four of one size; the photographs, being sorted, at random.

    Raises:
        ValueError: there are fewer than 4 images or fewer than 4 photographs.
    """
    order = np.random.default_rng(seed).permutation(len(photographs))
    if held_out is None:
        middle = len(photographs) // 2
        halves = (photographs[order[:middle]], photographs[order[middle:]])
    else:
        other = np.random.default_rng(seed).permutation(len(held_out))
        halves = (photographs[order], held_out[other])
    count = min(*map(len, halves), len(generated) // 2)
    if count < 2:
        raise ValueError(f"{len(generated)} images and {len(photographs)} photographs; wanted 4")
    real = (halves[0][:count], halves[1][:count])
    return real, (generated[:count], generated[count : 2 * count])


def _likeness(real: tuple[Images, Images], fake: tuple[Images, Images], step: Step) -> Likeness:
    """Return the measures by the classifier's features."""
    network = classifier.load()
    together = np.concatenate((*real, *fake))
    seen, cars = classifier.judge(network, together, step("classifier"))
    parts = np.split(seen, 4)
    halves = (parts[0], parts[1]), (parts[2], parts[3])
    shares = [float(part.mean()) for part in np.split(cars, 2)]
    overlaps = _in_halves(*halves, overlap, step("neighbours"))
    return Likeness(
        frechet=_pair(_in_halves(*halves, frechet_distance)),
        precision=_pair([found.precision for found in overlaps]),
        recall=_pair([found.recall for found in overlaps]),
        coverage=_pair([found.coverage for found in overlaps]),
        cars=Pair(shares[1], shares[0]),
    )


def _in_halves(
    real: tuple[Any, Any],
    fake: tuple[Any, Any],
    measure: Callable[[Any, Any], Any],
    progress: Progress = lambda _: None,
) -> list[Any]:
    """Return three measures: between the first halves, the second halves, and the photographs'."""
    found = []
    for k, (a, b) in enumerate(((real[0], fake[0]), (real[1], fake[1]), real)):
        found.append(measure(a, b))
        progress((k + 1) / 3)
    return found


def _of_features(
    inception: Any,
    real: tuple[Images, Images],
    fake: tuple[Images, Images],
    step: Step,
    seed: int,
) -> tuple[Pair, Pair]:
    """Return FID, and KID times 1,000."""
    together = np.concatenate((*real, *fake))
    seen = np.split(features(inception, together, step("InceptionV3")), 4)
    halves = (seen[0], seen[1]), (seen[2], seen[3])
    fid = _in_halves(*halves, frechet_distance, step("FID"))
    kid = _in_halves(*halves, lambda a, b: kernel_distance(a, b, seed=seed).mean, step("KID"))
    return _pair(fid), _pair(kid)


def _pair(found: list[float]) -> Pair:
    return Pair((found[0] + found[1]) / 2, found[2])


def _quantiles(distances: NDArray[np.float64]) -> dict[str, float]:
    shares = (0, 0.01, 0.05, 0.5, 0.95, 1)
    found = np.quantile(distances, shares)
    return {f"{share:g}": float(value) for share, value in zip(shares, found, strict=True)}
