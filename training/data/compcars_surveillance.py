"""CompCars, surveillance-nature: 44,481 front views of cars, cut out of a road camera's pictures.

Source: Yang et al. 2015, "A Large-Scale Car Dataset for Fine-Grained Categorization and
Verification". The data set has no boxes: a picture shows one car and little else.
"""

from pathlib import Path

import numpy as np

from training.data.layout import DataError, Photo, Photos, missing_note, unused_note
from training.data.mat import read_mat
from training.data.tree import Files, find_root, read_names

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


def photos(path: Path, split: str = "both") -> Photos:
    """Return the photographs of the ``split``: train, test, or both, in the lists' order.

    Raises:
        DataError: no folder at or below ``path`` holds the files that should be in ``sv_data``.
    """
    lists = [LISTS[split]] if split in LISTS else list(LISTS.values())
    root = find_root(path, ["image", *lists], LAYOUT)
    names = [name for file in lists for name in read_names(root.parts[file])]
    files = Files(root.parts["image"])
    found = [Photo(file) for file in dict.fromkeys(map(files.find, dict.fromkeys(names)))]
    layout = (
        f"CompCars, surveillance-nature: {len(found):,} images listed in {' and '.join(lists)}, "
        f"folder {files.root.relative_to(path).as_posix()}/"
    )
    notes = missing_note(files.missing, len(found), path), unused_note(root.others, path)
    return Photos(found, layout, notes)


def colors(path: Path) -> dict[str, str]:
    """Return a name of ``COLORS`` for each car whose colour is known, by ``<model>/<file>.jpg``.

    Raises:
        DataError: ``color_list.mat`` is missing or damaged.
    """
    wanted = f"{LAYOUT}\n  sv_data/color_list.mat"
    file = find_root(path, ["color_list.mat"], wanted).parts["color_list.mat"]
    rows = np.atleast_2d(read_mat(file, "color_list"))
    if rows.shape[1:] != (2,):
        raise DataError(f"{file}: wanted rows of file and number")
    named = ((str(name).replace("\\", "/"), int(number)) for name, number in rows)
    return {name: COLORS[number] for name, number in named if 0 <= number < len(COLORS)}
