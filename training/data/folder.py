"""Any directory of images, with all its subdirectories."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from training.data.layout import Photo, found_in, wrong_layout

ENDINGS = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats of ``ENDINGS``, which a file without an ending may have.

Pillow opens an MPO as a JPEG.
"""
LAYOUT = f"  .../<file>, ending in {', '.join(sorted(ENDINGS))}, or an image without an ending"
NAMED = 6
"""The largest number of endings that are named when their files are left out."""


def photos(path: Path) -> list[Photo]:
    """Return the images below ``path``, sorted by name, without hidden files.

    A file without an ending is an image if its content is.

    Raises:
        DataError: there is no image.
    """
    files = [file for file in _files(path) if _is_image(file)]
    if not files:
        raise wrong_layout(path, LAYOUT, found_in(path))
    return [Photo(file) for file in sorted(files, key=lambda file: file.relative_to(path).parts)]


def left_out(path: Path, taken: Sequence[Photo]) -> str:
    """Return a text that says which files below ``path`` were not ``taken`` and why, or none."""
    chosen = {photo.file for photo in taken}
    others = [file for file in _files(path) if file not in chosen]
    hidden = sum(file.name.startswith(".") for file in others)
    endings = Counter(file.suffix.lower() for file in others if not file.name.startswith("."))
    bare = endings.pop("", 0)
    named = [f"{count:,} {ending}" for ending, count in endings.most_common(NAMED)]
    more = sum(endings.values()) - sum(count for _, count in endings.most_common(NAMED))
    named += [f"{more:,} with other endings"] if more else []
    told = [f"{', '.join(named)} (endings that are not read: convert images to .jpg or .png)"]
    told = told if named else []
    told += [f"{bare:,} without an ending (their content is no image)"] if bare else []
    told += [f"{hidden:,} hidden"] if hidden else []
    return f"{len(others):,} files left out: {', '.join(told)}" if others else ""


def _files(path: Path) -> Iterator[Path]:
    return (Path(folder) / name for folder, _, names in os.walk(path) for name in names)


def _is_image(file: Path) -> bool:
    if file.name.startswith("."):
        return False
    return file.suffix.lower() in ENDINGS or (not file.suffix and _holds_image(file))


def _holds_image(file: Path) -> bool:
    """Return whether a file begins as an image does; one that is damaged is reported later."""
    if not file.is_file():  # the opening of a pipe would wait for its writer
        return False
    try:
        Image.open(file, formats=FORMATS).close()
    except UnidentifiedImageError:
        return False
    except Exception:  # of many kinds; the preparation meets it again, and says why
        return True
    return True
