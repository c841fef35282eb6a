"""Real photographs of cars, from whichever data set is at hand, in one shape.

Each source is one module that lists files and boxes; ``prepare`` makes the pixels of them, and
``cache`` keeps these, so that a second run begins at once. Whatever they come from, the images
have one order and one digest, so that a run means the same wherever it was trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data import cifar10, compcars_surveillance, compcars_web, folder, stanford_cars
from training.data.cache import digest
from training.data.layout import DataError, Images, Photo, found_in, wrong_layout
from training.data.photographs import load_photographs

__all__ = ["SIZES", "SOURCES", "SPLITS", "VIEWS", "DataError", "Images", "digest", "load_images"]

SIZES = (32, 64, 128)
SPLITS = ("train", "test", "both")
VIEWS = ("front", "front-side")
SAMPLE = 100
"""Where none of a list's first so many files is there, the folder has another layout."""


@dataclass(frozen=True)
class Source:
    """A data set: how its photographs are listed, and which settings mean something to it."""

    photos: Callable[..., list[Photo]] | None = None
    """Takes the data set's folder, and ``choices`` by name. None: the source has its own way."""
    layout: str = ""
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
    "compcars-surveillance": Source(
        compcars_surveillance.photos, compcars_surveillance.LAYOUT, choices=("split",)
    ),
    "compcars-web": Source(
        compcars_web.photos, compcars_web.LAYOUT, choices=("split", "views"), boxes=True
    ),
    "stanford-cars": Source(
        stanford_cars.photos, stanford_cars.LAYOUT, choices=("split",), boxes=True
    ),
    "folder": Source(folder.photos, folder.LAYOUT),
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
    if name == "cifar10-cars":
        return cifar10.load(path, limit, size)
    given = {"crop_margin": crop_margin, "split": split, "views": views}
    settings = {"size": size} | {name: given[name] for name in SOURCES[name].settings}
    try:
        root = _folder_of(name, path)
        photos = _list(SOURCES[name], root, settings)[:limit]
        return load_photographs(name, root, photos, settings, crop_margin)
    except OSError as error:  # a folder that may not be read, a full disk
        raise DataError(f"{name}: {error}") from error


def _folder_of(name: str, path: Path | None) -> Path:
    if path is None:
        raise DataError(
            f"{name} is not fetched: give the folder that holds it with --data-path. Expected "
            f"there:\n{SOURCES[name].layout}"
        )
    if not path.is_dir():
        raise wrong_layout(path, SOURCES[name].layout, found_in(path))
    return path


def _list(source: Source, root: Path, settings: dict[str, Any]) -> list[Photo]:
    """Return the photographs that the ``settings`` choose; some of them at least are there."""
    assert source.photos is not None, "cifar10-cars has its own way"
    photos = source.photos(root, **{name: settings[name] for name in source.choices})
    if not any(photo.file.exists() for photo in photos[:SAMPLE]):
        example = f"lists, and no {photos[0].file}" if photos else "lists that name nothing"
        raise wrong_layout(root, source.layout, example)
    return photos
