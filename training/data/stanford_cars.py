"""Stanford Cars: 16,185 photographs of 196 models from all sides, each with a box.

Source: Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
"""

from collections.abc import Sequence
from pathlib import Path

from training.data import parquet
from training.data.car_copies import DEVKIT, FORMS, Copy, Form, Part
from training.data.layout import Photos, found_in, missing_note, unused_note, wrong_layout

LAYOUT = """\
  cars_train/<file>.jpg, cars_test/<file>.jpg, and beside them, in devkit/ or car_devkit/devkit/:
    cars_train_annos.mat, cars_test_annos.mat (or cars_test_annos_withlabels.mat)
  or car_ims/<file>.jpg and cars_annos.mat
  or train/<class>/<file>.jpg, test/<class>/<file>.jpg, anno_train.csv and anno_test.csv
  or <split>-<number>.parquet, as Hugging Face has them
  there or in folders below; photographs without boxes are for --data folder"""


def photos(path: Path, split: str = "both") -> Photos:
    """Return the photographs of the ``split``: train, test, or both, in the annotations' order.

    Raises:
        DataError: ``path`` has another layout, or an annotation file is damaged.
    """
    splits = ("train", "test") if split == "both" else (split,)
    copy = Copy(path)
    for form in FORMS:
        parts = [part for name in splits if (part := copy.photos(form, name))]
        if len(parts) == len(splits):
            title = "the authors' layout" if _is_original(form, parts) else form.title
            files = _named([part.annotations for part in parts if part.annotations], path)
            return _together(copy, splits, parts, title, f"annotations {files}")
    if tables := copy.tables():
        return _of_tables(path, tables, split)
    parts = [part for name in splits if (part := copy.photos_without_boxes(name))]
    if len(parts) == len(splits):
        told = (
            "without boxes, since cars_annos.mat has other numbers for them: cars_train_annos.mat "
            "and cars_test_annos.mat of the devkit, put beside it, have their boxes"
        )
        return _together(copy, splits, parts, "Kaggle's layout without the devkit", told)
    raise wrong_layout(path, LAYOUT, _lacking(copy, splits))


def _together(
    copy: Copy, splits: Sequence[str], parts: Sequence[Part], title: str, told: str
) -> Photos:
    """Return the photographs of all ``parts``, and with them what is missing or not used."""
    photos = [photo for part in parts for photo in part.photos]
    missing = [file for part in parts for file in part.missing]
    surplus = sum({part.place: part.surplus for part in parts}.values())
    folders = _named([part.folder for part in parts], copy.path)
    return Photos(
        photos,
        f"Stanford Cars, {title}: {len(photos):,} images in {folders}, {told}",
        [
            missing_note(missing, len(photos), copy.path),
            f"left out, as no annotation names them: {surplus:,} photographs" if surplus else "",
            unused_note(copy.unused(parts, splits), copy.path),
        ],
    )


def _of_tables(path: Path, tables: Sequence[Path], split: str) -> Photos:
    """Return the images of a ``split`` in Parquet files, whose names tell their splits."""
    splits = {file: parquet.split_of(file.relative_to(path).as_posix()) for file in tables}
    known = [file for file in tables if splits[file]] or list(tables)
    wanted = known if split == "both" else [file for file in tables if splits[file] == split]
    if not wanted:
        there = f"{_named(tables[:3], path)}, of which none is of the split {split}"
        raise wrong_layout(path, LAYOUT, there)
    others = [file for file in tables if file not in known]
    note = f"Parquet files of other splits are left out: {_named(others, path)}" if others else ""
    return parquet.photos(path, wanted, "Stanford Cars", [note])


def _is_original(form: Form, parts: Sequence[Part]) -> bool:
    devkit = parts[0].place.parent / "devkit"
    return form is DEVKIT and all(
        part.folder.parent / "devkit" == devkit
        and part.annotations is not None
        and (part.annotations.parent == devkit or "withlabels" in part.annotations.name)
        for part in parts
    )


def _named(paths: Sequence[Path], root: Path) -> str:
    """Return the names of files or folders below ``root``, each once."""
    names = [path.relative_to(root).as_posix() + "/" * path.is_dir() for path in paths]
    return " and ".join(dict.fromkeys(names))


def _lacking(copy: Copy, splits: Sequence[str]) -> str:
    """Return a text that says what the first split lacks that is not whole, and what is there."""
    for split in splits:
        files = [file for form in FORMS for file in copy.annotations(form, split)]
        places = [place for form in FORMS for place in copy.places(form, split)]
        there = found_in(copy.path)
        if not files and not places:
            return there
        if not places:
            return f"no cars_{split}/ or another folder of photographs, but {there}"
        if not files:
            return f"no devkit/cars_{split}_annos.mat or other annotations, but {there}"
        if not any(copy.photos(form, split) for form in FORMS):
            named = _named(files[:1], copy.path)
            return f"in {_named(places[:1], copy.path)} none of the photographs that {named} names"
    return found_in(copy.path)
