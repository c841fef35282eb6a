"""The photographs that a source lists, and the error for a directory of another layout."""

from collections.abc import Sequence
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


def box_from_1(x1: int, y1: int, x2: int, y2: int) -> Box:
    """Return the box of two corners that are inside it and counted from 1, as MATLAB does."""
    return (x1 - 1, y1 - 1, x2, y2)


def find_root(path: Path, inner: str, wanted: Sequence[str], layout: str) -> Path:
    """Return the directory that holds all of ``wanted``: ``path`` itself, or ``inner`` in it.

    Raises:
        DataError: neither holds them; the message shows ``layout`` and the files that are there.
    """
    root = path / inner if (path / inner).is_dir() else path
    missing = [name for name in wanted if not (root / name).exists()]
    if missing:
        where = "" if root == path else f" in {inner}/"
        name = missing[0] if Path(missing[0]).suffix else f"{missing[0]}/"
        raise wrong_layout(path, layout, f"no {name}{where}, but {found_in(root)}")
    return root


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
