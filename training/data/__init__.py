"""Real photographs of cars, from one of several data sets, as images of one shape.

Each source is one module that lists files and boxes. ``prepare`` makes pixels of the files, and
``cache`` keeps the pixels, so that a second run begins at once. The images of a data set have one
order and one digest, so that a run means the same wherever it was trained.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data import cifar10, compcars_surveillance, compcars_web, folder, stanford_cars
from training.data.cache import digest, layout_of
from training.data.layout import DataError, Images, Photo, Photos, found_in, wrong_layout
from training.data.photographs import load_photographs

__all__ = [
    "SIZES",
    "SOURCES",
    "SPLITS",
    "VIEWS",
    "DataError",
    "Images",
    "digest",
    "layout_of",
    "load_images",
]

SIZES = (32, 64, 128)
SPLITS = ("train", "test", "both")
VIEWS = ("front", "front-side")
SAMPLE = 100
"""The number of a list's first files of which at least one must exist; else the layout differs."""


@dataclass(frozen=True)
class Source:
    """A data set: how its photographs are listed, and which settings mean something to it."""

    photos: Callable[..., Photos] | None = None
    """The function that lists the photographs; None for a source with a loader of its own.

    It takes the data set's directory, and ``choices`` by name.
    """
    layout: str = ""
    """The expected files, as the error message of another layout shows them."""
    choices: tuple[str, ...] = ()
    """The settings that choose among the photographs: split, views."""
    left_out: Callable[[Path, list[Photo]], str] | None = None
    """The function that tells of the files that are no photographs; None where lists name them."""
    boxes: bool = False
    """Whether the data set has a box of the car in each photograph."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings beside ``size`` that determine this data set's pixels."""
        return (*self.choices, "crop_margin") if self.boxes else self.choices


SOURCES: dict[str, Source] = {
    "cifar10-cars": Source(choices=("split",)),
    "compcars-surveillance": Source(
        compcars_surveillance.photos, compcars_surveillance.LAYOUT, choices=("split",)
    ),
    "compcars-web": Source(
        compcars_web.photos, compcars_web.LAYOUT, choices=("split", "views"), boxes=True
    ),
    "stanford-cars": Source(
        stanford_cars.photos, stanford_cars.LAYOUT, choices=("split",), boxes=True
    ),
    "folder": Source(folder.photos, folder.LAYOUT, left_out=folder.left_out),
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

    The layout that was recognised, and what is missing or left out, is told on stderr.

    Raises:
        DataError: there is no such data set, ``path`` has another layout, too many files cannot be
            read, no source can be reached, or the digest is wrong.
    """
    if name not in SOURCES:
        raise DataError(f"no data set is called {name!r}; there is: {', '.join(SOURCES)}")
    given = {"crop_margin": crop_margin, "split": split, "views": views}
    source = SOURCES[name]
    settings = {"size": size} | {name: given[name] for name in source.settings}
    try:
        if name == "cifar10-cars":
            return cifar10.load(path, limit, size, split)
        root = _folder_of(name, path)
        photos = _list(source, root, settings)
        print(photos.layout, file=sys.stderr)
        for note in photos.notes:
            print(f"{name}: {note}", file=sys.stderr)
        sys.stderr.flush()
        chosen = photos[:limit]
        images = load_photographs(name, root, chosen, settings, crop_margin, photos.layout)
        if source.left_out and (told := source.left_out(root, photos)):
            print(f"{name}: {told}", file=sys.stderr, flush=True)
    except OSError as error:  # for example, a directory may not be read or the disk is full
        raise DataError(f"{name}: {error}") from error
    return images


def _folder_of(name: str, path: Path | None) -> Path:
    if path is None:
        raise DataError(
            f"{name} is not fetched: give the folder that holds it with --data-path. Expected "
            f"there:\n{SOURCES[name].layout}"
        )
    if not path.is_dir():
        raise wrong_layout(path, SOURCES[name].layout, found_in(path))
    return path


def _list(source: Source, root: Path, settings: dict[str, Any]) -> Photos:
    """Return the photographs that the ``settings`` choose, after checking that some exist."""
    assert source.photos is not None, "cifar10-cars has its own way"
    photos = source.photos(root, **{name: settings[name] for name in source.choices})
    if not any(photo.file.exists() for photo in photos[:SAMPLE]):
        example = f"lists, and no {photos[0].file}" if photos else "lists that name nothing"
        raise wrong_layout(root, source.layout, example)
    return photos
