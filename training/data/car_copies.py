"""The forms in which Stanford Cars is passed on, and the photographs of one split in a copy.

The authors published the photographs twice: in two folders, one a split, with a file of annotations
each in the devkit; and in one folder, ``car_ims``, with ``cars_annos.mat``, where the same
photographs have other numbers. What people have are copies of either, in folders of any depth, or a
part of one with a part of the other.
"""

import filecmp
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from training.data.car_annotations import read_annotations
from training.data.layout import Photo
from training.data.tree import IMAGE_ENDINGS, Folder, Names, is_hidden, survey, walk


class Form(NamedTuple):
    """A form in which the data set is passed on; ``{split}`` in a name stands for train or test."""

    title: str
    annotations: tuple[str, ...]
    """The names that a file of annotations may have, the first that is found counts."""
    folders: tuple[str, ...]
    """The names that the folder of the photographs may have."""


DEVKIT = Form(
    "Kaggle's layout",
    ("cars_{split}_annos.mat", "cars_{split}_annos_withlabels.mat"),
    ("cars_{split}", "{split}"),
)
COMBINED = Form(
    "Kaggle's combined layout", ("cars_annos.mat",), ("car_ims", "cars_{split}", "{split}")
)
BY_CLASS = Form("Kaggle's layout by classes", ("anno_{split}.csv",), ("{split}",))
FORMS = (DEVKIT, COMBINED, BY_CLASS)
PLACES = ("car_ims", "cars_train", "cars_test", "train", "test")
"""The names of the folders that hold photographs, and are not searched for annotations."""


class Part(NamedTuple):
    """The photographs of one split, and where they were found."""

    photos: list[Photo]
    annotations: Path | None
    place: Path
    """The folder that holds the photographs, at whatever depth."""
    missing: Sequence[Path] = ()
    """The paths that annotated photographs would have that are not there."""
    surplus: int = 0
    """The number of photographs that no annotation names."""

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all photographs that are there."""
        gone = set(self.missing)
        return _common([photo.file for photo in self.photos if photo.file not in gone])


class Copy:
    """A copy of the data set, or of parts of it, at ``path`` or in folders below."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folders = list(survey(path, self._is_place))
        self._images = cache(_images)
        self._read = cache(read_annotations)

    def photos(self, form: Form, split: str) -> Part | None:
        """Return the photographs of a ``split``; None unless they are there in this ``form``."""
        files = self.annotations(form, split)
        if not files:
            return None
        annotations = self._read(files[0])
        named = {each.file for each in annotations}
        found: dict[str, Path] = {}
        place = self.path
        for candidate in self.places(form, split):
            names = Names(self._images(candidate))
            matched = {name: file for name in named if (file := names.get(name))}
            found, place = (matched, candidate) if len(matched) > len(found) else (found, place)
        own = [each for each in annotations if each.split in (None, split)]
        if not any(each.file in found for each in own):
            return None
        folder = _common([found[each.file] for each in own if each.file in found])
        photos = [Photo(found.get(each.file, folder / each.file), each.box) for each in own]
        missing = [folder / each.file for each in own if each.file not in found]
        surplus = len(set(self._images(place)).difference(found.values()))
        return Part(photos, files[0], place, missing, surplus)

    def photos_without_boxes(self, split: str) -> Part | None:
        """Return the photographs of a ``split`` that have no boxes but those of ``cars_annos.mat``.

        Nobody can tell which are whose: that file has other numbers for the same photographs.
        """
        places = [place for place in self.places(DEVKIT, split) if self._images(place)]
        if not places or not self.annotations(COMBINED, split):
            return None
        photos = [Photo(file) for file in self._images(places[0])]
        return Part(photos, None, places[0])

    def annotations(self, form: Form, split: str) -> list[Path]:
        """Return the files of annotations, those of the name that counts first, nearest first."""
        found = []
        for name in form.annotations:
            stem, ending = name.format(split=split).split(".")
            copies = re.compile(rf"{stem}( ?\(\d+\))?\.{ending}")  # browsers number a second copy
            for folder in self.folders:
                found += [
                    folder.path / file for file in folder.files if copies.fullmatch(file.lower())
                ]
        return found

    def places(self, form: Form, split: str) -> list[Path]:
        """Return the folders of photographs, those of the name that counts first, nearest first."""
        names = [name.format(split=split) for name in form.folders]
        found = [each.path for each in self.folders if self._is_place(each)]
        found = [path for path in found if path.name.lower() in names]
        return sorted(found, key=lambda path: names.index(path.name.lower()))

    def tables(self) -> list[Path]:
        """Return the Parquet files."""
        files = (folder.path / file for folder in self.folders for file in folder.files)
        return sorted(file for file in files if file.suffix.lower() == ".parquet")

    def unused(self, parts: Sequence[Part], splits: Sequence[str]) -> list[Path]:
        """Return what the photographs and boxes of the ``splits`` could be taken from as well."""
        used = {part.place for part in parts}
        places = [place for form in FORMS for split in splits for place in self.places(form, split)]
        others = [place for place in places if place not in used and self._images(place)]
        for part in parts:
            if (file := part.annotations) is not None:
                known = [each.path / name for each in self.folders for name in each.files]
                others += [each for each in known if _is_another(each, file)]
        return list(dict.fromkeys([*others, *(table.parent for table in self.tables())]))

    def _is_place(self, folder: Folder) -> bool:
        return folder.path != self.path and folder.path.name.lower() in PLACES


def _is_another(file: Path, used: Path) -> bool:
    """Return whether a file of the ``used`` one's name has another content."""
    return file != used and file.name == used.name and not filecmp.cmp(file, used, shallow=False)


def _images(place: Path) -> list[Path]:
    """Return the images below ``place``, sorted by name."""
    found = [file for file in walk(place) if file.suffix.lower() in IMAGE_ENDINGS]
    return sorted(file for file in found if not is_hidden(file.name))


def _common(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))
