"""CompCars, web-nature: photographs of cars from all sides, each with a viewpoint and a box.

Source: Yang et al. 2015, "A Large-Scale Car Dataset for Fine-Grained Categorization and
Verification". A label is a text of three lines: the viewpoint (-1 uncertain, 1 front, 2 rear,
3 side, 4 front-side, 5 rear-side), the number of boxes, and a box ``x1 y1 x2 y2`` from 1.
"""

from pathlib import Path

from training.data.layout import NO_BOX, Photo, box_from_1, find_root, wrong_layout

VIEWPOINTS = {"front": {1}, "front-side": {1, 4}}
LAYOUT = """\
  data/image/<make>/<model>/<year>/<file>.jpg
  data/label/<make>/<model>/<year>/<file>.txt"""
SPLIT_LAYOUT = "  data/train_test_split/classification/train.txt\n" + LAYOUT


def photos(path: Path, split: str = "both", views: str = "front") -> list[Photo]:
    """Return the photographs that show the ``views``, sorted by name.

    The views "front-side" include those from the front. The ``split`` is that of the authors'
    classification of models, which covers a part of the photographs; "both" takes all photographs,
    listed or not.

    Raises:
        DataError: ``path`` has another layout, or no photograph of the ``views``.
    """
    root = find_root(path, "data", ["image", "label"], LAYOUT)
    names = _names(root, split)
    found = [photo for name in names if (photo := _photo(root, name, VIEWPOINTS[views]))]
    if not found:
        raise wrong_layout(path, LAYOUT, f"{len(names)} labels, none of a car seen from the front")
    return found


def _names(root: Path, split: str) -> list[str]:
    """Return ``<make>/<model>/<year>/<file>.jpg`` of the photographs in the ``split``."""
    if split != "both":
        file = f"train_test_split/classification/{split}.txt"
        return (find_root(root, ".", [file], SPLIT_LAYOUT) / file).read_text().split()
    labels = root / "label"
    names = (path.relative_to(labels) for path in labels.glob("*/*/*/*.txt"))
    return sorted(name.with_suffix(".jpg").as_posix() for name in names)


def _photo(root: Path, name: str, viewpoints: set[int]) -> Photo | None:
    """Return a photograph and its box, or None if the label has another viewpoint.

    A label that is missing or broken gives ``NO_BOX``, so that the photograph is reported.
    """
    image, label = root / "image" / name, (root / "label" / name).with_suffix(".txt")
    try:
        viewpoint, _, x1, y1, x2, y2 = map(int, label.read_text().split()[:6])
    except (OSError, ValueError):
        return Photo(image, NO_BOX)
    return Photo(image, box_from_1(x1, y1, x2, y2)) if viewpoint in viewpoints else None
