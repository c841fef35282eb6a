"""What a source hands over, and how a folder that is not its own is answered."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom: pixels of the file as stored, from 0, right and bottom outside."""
NO_BOX: Box = (0, 0, 0, 0)
"""In place of a box that could not be read: its photograph is skipped, and reported."""


class DataError(Exception):
    """The data set could not be had, or is not what it says it is."""


class Photo(NamedTuple):
    """One photograph of a data set, and where in it the car is, if that is known."""

    file: Path
    box: Box | None = None


def box_from_1(x1: int, y1: int, x2: int, y2: int) -> Box:
    """Return a box whose corners are counted from 1 and both inside it, as MATLAB does."""
    return (x1 - 1, y1 - 1, x2, y2)


def find_root(path: Path, inner: str, wanted: Sequence[str], layout: str) -> Path:
    """Return the folder that holds all of ``wanted``: ``path`` itself, or ``inner`` in it.

    Raises:
        DataError: neither does; the message shows ``layout`` and what is there instead.
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
    """Return the first few names in a folder, or that there is none."""
    if not path.is_dir():
        return "a file, not a folder" if path.exists() else "no such folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more if names else "an empty folder"
