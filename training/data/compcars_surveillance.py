"""CompCars, surveillance-nature: 44,481 front views of cars, cut out of a road camera's pictures.

Source: Yang et al. 2015, "A Large-Scale Car Dataset for Fine-Grained Categorization and
Verification". The data set has no boxes: a picture shows one car and little else.
"""

from pathlib import Path

import numpy as np

from training.data.layout import DataError, Photo, find_root
from training.data.mat import read_mat

LISTS = {"train": "train_surveillance.txt", "test": "test_surveillance.txt"}
LAYOUT = """\
  sv_data/image/<model>/<file>.jpg
  sv_data/train_surveillance.txt
  sv_data/test_surveillance.txt"""
COLORS = (
    *("black", "white", "red", "yellow", "blue"),
    *("green", "purple", "brown", "champagne", "silver"),
)
"""The colours that the numbers of ``color_list.mat`` mean; -1 there is an unknown colour."""


def photos(path: Path, split: str = "both") -> list[Photo]:
    """Return the photographs of the ``split``: train, test, or both, in the lists' order.

    Raises:
        DataError: ``path`` holds neither ``sv_data`` nor the files that should be in it.
    """
    lists = [LISTS[split]] if split in LISTS else list(LISTS.values())
    root = find_root(path, "sv_data", ["image", *lists], LAYOUT)
    names = [name for file in lists for name in _names(root / file)]
    return [Photo(root / "image" / name) for name in dict.fromkeys(names)]


def colors(path: Path) -> dict[str, str]:
    """Return a name of ``COLORS`` for each car whose colour is known, by ``<model>/<file>.jpg``.

    Raises:
        DataError: ``color_list.mat`` is missing or damaged.
    """
    root = find_root(path, "sv_data", ["color_list.mat"], LAYOUT + "\n  sv_data/color_list.mat")
    rows = np.atleast_2d(read_mat(root / "color_list.mat", "color_list"))
    if rows.shape[1:] != (2,):
        raise DataError(f"{root / 'color_list.mat'}: wanted rows of file and number")
    return {str(name): COLORS[int(n)] for name, n in rows if 0 <= int(n) < len(COLORS)}


def _names(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.strip()]
