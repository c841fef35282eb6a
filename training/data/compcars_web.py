"""CompCars, web-nature: photographs of cars from all sides, each with a viewpoint and a box.

Source: Yang et al. 2015, "A Large-Scale Car Dataset for Fine-Grained Categorization and
Verification". A label is a text of three lines: the viewpoint (-1 uncertain, 1 front, 2 rear,
3 side, 4 front-side, 5 rear-side), the number of boxes, and a box ``x1 y1 x2 y2`` from 1.
"""

from pathlib import Path, PurePosixPath

from training.data.layout import (
    NO_BOX,
    Photo,
    Photos,
    box_from_1,
    found_in,
    missing_note,
    unused_note,
    wrong_layout,
)
from training.data.tree import Files, Root, find_root, is_hidden, read_lines, read_names, walk

VIEWPOINTS = {"front": {1}, "front-side": {1, 4}}
LAYOUT = """\
  data/image/<make>/<model>/<year>/<file>.jpg
  data/label/<make>/<model>/<year>/<file>.txt"""
SPLIT_LAYOUT = "  data/train_test_split/classification/train.txt\n" + LAYOUT


def photos(path: Path, split: str = "both", views: str = "front") -> Photos:
    """Return the photographs that show the ``views``, sorted by name.

    The views "front-side" include those from the front. The ``split`` is that of the authors'
    classification of models, which covers a part of the photographs; "both" takes all photographs,
    listed or not.

    Raises:
        DataError: ``path`` has another layout, or no photograph of the ``views``.
    """
    root = find_root(path, ["image", "label"], LAYOUT)
    names = _names(path, root, split)
    images, labels = Files(root.parts["image"]), Files(root.parts["label"])
    found = [photo for name in names if (photo := _photo(images, labels, name, VIEWPOINTS[views]))]
    if not found:
        raise wrong_layout(path, LAYOUT, f"{len(names)} labels, none of a car seen from the front")
    layout = (
        f"CompCars, web-nature: {len(found):,} images of {views} views, folders "
        f"{_below(images.root, path)} and {_below(labels.root, path)}"
    )
    notes = missing_note(images.missing, len(found), path), unused_note(root.others, path)
    return Photos(found, layout, notes)


def _names(path: Path, root: Root, split: str) -> list[str]:
    """Return ``<make>/<model>/<year>/<file>.jpg`` of the photographs in the ``split``."""
    if split != "both":
        file = Files(root.path).find(f"train_test_split/classification/{split}.txt")
        if not file.is_file():
            there = f"no {_below(file, path).rstrip('/')}, but {found_in(root.path)}"
            raise wrong_layout(path, SPLIT_LAYOUT, there)
        return read_names(file)
    labels = root.parts["label"]
    found = [file.relative_to(labels) for file in walk(labels) if _is_label(file)]
    return sorted(name.with_suffix(".jpg").as_posix() for name in found)


def _is_label(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and not is_hidden(file.name)


def _below(file: Path, path: Path) -> str:
    return f"{file.relative_to(path).as_posix()}/"


def _photo(images: Files, labels: Files, name: str, viewpoints: set[int]) -> Photo | None:
    """Return a photograph and its box, or None if the label has another viewpoint.

    A label that is missing or broken gives ``NO_BOX``, so that the photograph is reported.
    """
    label = labels.find(PurePosixPath(name).with_suffix(".txt").as_posix())
    try:
        viewpoint, _, x1, y1, x2, y2 = map(int, " ".join(read_lines(label)).split()[:6])
    except (OSError, ValueError):
        return Photo(images.find(name), NO_BOX)
    if viewpoint not in viewpoints:
        return None
    return Photo(images.find(name), box_from_1(x1, y1, x2, y2))
