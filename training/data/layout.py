"""The photographs that a source lists, and the error for a directory of another layout."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""A box's left, top, right and bottom in pixels of the file as stored, counted from 0.

The right column and the bottom row are outside the box.
"""
NO_BOX: Box = (0, 0, 0, 0)
"""The box that stands for one that could not be read; its photograph is skipped and reported."""


class DataError(Exception):
    """The data set could not be loaded, or is not the one that was asked for."""


class Photo(NamedTuple):
    """One photograph of a data set, and the box of its car; None if that is not known."""

    file: Path
    box: Box | None = None
    row: int | None = None
    """The row of a Parquet file that holds the photograph; None for a file of its own."""

    def name(self, root: Path) -> str:
        """Return the photograph's name below ``root``."""
        name = self.file.relative_to(root).as_posix()
        return name if self.row is None else f"{name}, row {self.row}"


class Photos(list[Photo]):
    """The photographs of a data set in their order, and how they were found."""

    def __init__(self, photos: Iterable[Photo], layout: str, notes: Iterable[str] = ()) -> None:
        super().__init__(photos)
        self.layout = layout
        """The layout that was recognised, in one line: its name, what was found, and where."""
        self.notes = tuple(note for note in notes if note)
        """The sentences on what is missing, left out or there twice."""


def box_from_1(x1: int, y1: int, x2: int, y2: int) -> Box:
    """Return the box of two corners that are inside it and counted from 1, as MATLAB does."""
    return (x1 - 1, y1 - 1, x2, y2)


def wrong_layout(path: Path, layout: str, found: str) -> DataError:
    """Return the error that shows the ``layout`` expected in ``path``, and what was found."""
    return DataError(f"--data-path {path}: expected\n{layout}\nfound {found}")


def found_in(path: Path) -> str:
    """Return a text with the first few names in a directory, or why there are none."""
    if not path.is_dir():
        return "a file, not a folder" if path.exists() else "no such folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more if names else "an empty folder"


def missing_note(missing: list[Path], total: int, root: Path) -> str:
    """Return a sentence that counts the listed photographs without a file, or none."""
    if not missing:
        return ""
    first = missing[0].relative_to(root).as_posix()
    return f"{len(missing):,} of {total:,} listed photographs are not there, first {first}"


def unused_note(others: Iterable[Path], root: Path) -> str:
    """Return a sentence that names what would be another layout and is not used, or none."""
    names = [other.relative_to(root).as_posix() + "/" * other.is_dir() for other in others]
    return f"not used, though it may hold the data set too: {', '.join(names)}" if names else ""
