"""The annotation files of Stanford Cars: the devkit's, the combined one, and tables of text.

Source: Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.data.layout import NO_BOX, Box, DataError, box_from_1
from training.data.mat import read_mat
from training.data.tree import read_lines

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
COMBINED = ("relative_im_path", "test")
"""The fields of ``cars_annos.mat`` that the devkit's files, which have ``fname``, do not have."""


class Annotation(NamedTuple):
    """What is known of one photograph."""

    file: str
    """The name of the photograph's file, without folders."""
    box: Box
    """The box of the car, ``NO_BOX`` if the annotation has none that can be read."""
    split: str | None = None
    """The split, train or test, if the annotation says it."""


def read_annotations(file: Path) -> list[Annotation]:
    """Return the annotations in a MAT-file, or in a ``.csv`` without a head, in their order.

    Raises:
        DataError: the file is damaged, or has other fields.
    """
    if file.suffix.lower() == ".csv":
        rows = [row for row in csv.reader(read_lines(file)) if row]
        if any(len(row) < 5 for row in rows):
            raise DataError(f"{file}: wanted rows of file, x1, y1, x2, y2 and class")
        return [Annotation(_file(row[0]), _box(row[1:5])) for row in rows if row[1] != CORNERS[0]]
    entries = read_mat(file, "annotations", CORNERS)
    combined = all(hasattr(entry, COMBINED[0]) for entry in entries)
    needed = COMBINED if combined else ("fname",)
    lacking = [name for name in needed if not all(hasattr(entry, name) for entry in entries)]
    if lacking:
        raise DataError(f"{file}: 'annotations' has entries without {', '.join(lacking)}")
    return [_annotation(entry, combined) for entry in entries]


def _annotation(entry: Any, combined: bool) -> Annotation:
    box = _box([getattr(entry, corner) for corner in CORNERS])
    if not combined:
        return Annotation(_file(entry.fname), box)
    return Annotation(_file(entry.relative_im_path), box, "test" if entry.test else "train")


def _file(path: Any) -> str:
    return str(path).replace("\\", "/").rpartition("/")[2].strip()


def _box(corners: Sequence[Any]) -> Box:
    try:
        x1, y1, x2, y2 = map(int, corners)
    except (TypeError, ValueError):  # a field is empty, or is no number
        return NO_BOX
    return box_from_1(x1, y1, x2, y2)
