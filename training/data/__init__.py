"""Real photographs of cars, from whichever data set is at hand, in one shape.

Each source is one module that lists files and boxes; ``prepare`` makes the pixels of them, and
``cache`` keeps these, so that a second run begins at once. Whatever they come from, the images
have one order and one digest, so that a run means the same wherever it was trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.data import cifar10
from training.data.cache import digest
from training.data.layout import DataError, Images, Photo

__all__ = ["SIZES", "SOURCES", "SPLITS", "VIEWS", "DataError", "Images", "digest", "load_images"]

SIZES = (32, 64, 128)
SPLITS = ("train", "test", "both")
VIEWS = ("front", "front-side")


@dataclass(frozen=True)
class Source:
    """A data set: how its photographs are listed, and which settings mean something to it."""

    photos: Callable[..., list[Photo]] | None = None
    """Takes the data set's folder and ``choices``, by name. None: the source has its own way."""
    choices: tuple[str, ...] = ()
    """The settings that choose among the photographs: split, views."""
    boxes: bool = False
    """It says where in a photograph the car is."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings beside ``size`` that decide this data set's pixels."""
        return (*self.choices, "crop_margin") if self.boxes else self.choices


SOURCES: dict[str, Source] = {
    "cifar10-cars": Source(),
}


def load_images(
    name: str,
    path: Path | None = None,
    limit: int | None = None,
    *,
    size: int = 32,
    crop_margin: float = 0.05,
    split: str = "both",
    views: str = "front",
) -> Images:
    """Return the data set ``name`` as uint8 [N, size, size, 3], RGB.

    Raises:
        DataError: no such data set, another layout at ``path``, too many files that cannot be
            read, no source reached, or a wrong digest.
    """
    if name not in SOURCES:
        raise DataError(f"no data set is called {name!r}; there is: {', '.join(SOURCES)}")
    return cifar10.load(path, limit, size)
