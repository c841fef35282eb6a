"""The golden images of bundles: what known seeds have to look like, whoever draws them.

An image of a plan that draws the same bytes everywhere is compared byte for byte, that of another
plan within the tolerance of the bundle's manifest, which is the server's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtests.answers import Answer, WrongAnswer

EXACT = "exact"
"""The precision whose bytes are the same on every processor, and the name of its variant."""


@dataclass(frozen=True)
class Golden:
    """The golden images of one bundle."""

    images: Mapping[int, NDArray[np.uint8]]
    """The image of each seed: uint8 [height, width, channels]."""
    tolerance: int
    """The grey levels by which an image of another plan may be off."""
    exact: Mapping[int, NDArray[np.uint8]]
    """The images of plans that draw the same bytes everywhere, if the bundle has such."""


NONE = Golden({}, 0, {})


class Goldens:
    """The golden images of a model repository."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._read: dict[str, Golden] = {}

    def of(self, model: str) -> Golden:
        """Return the golden images of ``model``, as name/version; none if it is not known here."""
        if model not in self._read:
            self._read[model] = _read(self._models / model)
        return self._read[model]

    def check(self, answer: Answer, images: NDArray[np.generic], seed: int) -> None:
        """Check images of ``seed``, ``seed + 1``, ...: [n, height, width, channels] in grey levels.

        Raises:
            WrongAnswer: a known image is off by more than its plan may be.
        """
        golden = self.of(answer.headers.get("carfront-model", ""))
        is_exact = answer.headers.get("carfront-plan", "").endswith(f"/{EXACT}")
        known, tolerance = (golden.exact, 0) if is_exact else (golden.images, golden.tolerance)
        for each, wanted in known.items():
            if seed <= each < seed + len(images):
                off = np.abs(images[each - seed].astype(np.float32) - wanted.astype(np.float32))
                if not (worst := float(off.max())) <= tolerance:
                    raise WrongAnswer(
                        f"the image of seed {each} is {worst:g} grey levels off the golden one; "
                        f"the plan may be {tolerance}"
                    )


def _read(bundle: Path) -> Golden:
    try:
        facts = json.loads((bundle / "manifest.json").read_text())["golden"]
    except (OSError, ValueError, KeyError):
        return NONE
    return Golden(
        _images(bundle / facts["file"], facts["seeds"]),
        int(facts["tolerance"]),
        _images(bundle / f"golden-{EXACT}.npy", facts["seeds"]),
    )


def _images(path: Path, seeds: list[int]) -> dict[int, NDArray[np.uint8]]:
    return dict(zip(seeds, np.load(path), strict=True)) if path.is_file() else {}
