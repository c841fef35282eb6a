"""Stanford Cars: 16,185 photographs of 196 models from all sides, each with a box.

Source: Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
"""

from pathlib import Path

from training.data.layout import Photo, box_from_1, find_root, found_in, wrong_layout
from training.data.mat import read_mat

ANNOTATIONS = {
    "train": ["devkit/cars_train_annos.mat"],
    "test": [
        "devkit/cars_test_annos.mat",
        "devkit/cars_test_annos_withlabels.mat",
        "cars_test_annos_withlabels.mat",
    ],
}
"""The annotation files of each split; one of the test split's will do, as all have the boxes."""
CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
LAYOUT = """\
  cars_train/<file>.jpg
  cars_test/<file>.jpg
  devkit/cars_train_annos.mat
  devkit/cars_test_annos.mat, or cars_test_annos_withlabels.mat there or above"""


def photos(path: Path, split: str = "both") -> list[Photo]:
    """Return the photographs of the ``split``: train, test, or both, in the annotations' order.

    Raises:
        DataError: ``path`` has another layout, or an annotation file is damaged.
    """
    splits = list(ANNOTATIONS) if split == "both" else [split]
    root = find_root(path, "stanford_cars", [f"cars_{name}" for name in splits], LAYOUT)
    return [photo for name in splits for photo in _photos_of(root, name)]


def _photos_of(root: Path, split: str) -> list[Photo]:
    files = [root / name for name in ANNOTATIONS[split] if (root / name).exists()]
    if not files:
        devkit = f"no {ANNOTATIONS[split][0]}, but in devkit/ {found_in(root / 'devkit')}"
        raise wrong_layout(root, LAYOUT, devkit)
    folder = root / f"cars_{split}"
    # Some copies of the data set have a second directory of the same name inside the first.
    folder = folder / folder.name if (folder / folder.name).is_dir() else folder
    return [
        Photo(
            folder / str(entry.fname),
            box_from_1(*(int(getattr(entry, corner)) for corner in CORNERS)),
        )
        for entry in read_mat(files[0], "annotations", (*CORNERS, "fname"))
    ]
