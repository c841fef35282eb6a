"""Any directory of images, with all its subdirectories, or of Parquet files that hold images."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from training.data import parquet
from training.data.layout import Photo, Photos, found_in, wrong_layout
from training.data.tree import IMAGE_ENDINGS, is_hidden, walk

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats of ``IMAGE_ENDINGS``, which a file without an ending may have.

Pillow opens an MPO as a JPEG.
"""
LAYOUT = (
    f"  .../<file>, ending in {', '.join(sorted(IMAGE_ENDINGS))}, or an image without an ending\n"
    "  or, where there are none, .../<file>.parquet with a column of images"
)
NAMED = 6
"""The largest number of endings that are named when their files are left out."""


def photos(path: Path) -> Photos:
    """Return the images below ``path``, sorted by name, without hidden files.

    A file without an ending is an image if its content is. Where there are no images, it is those
    in Parquet files.

    Raises:
        DataError: there is no image.
    """
    files = [file for file in walk(path) if _is_image(file)]
    if files:
        files.sort(key=lambda file: file.relative_to(path).parts)
        return Photos(map(Photo, files), f"folder of images: {len(files):,} images")
    tables = parquet.files_below(path)
    if not tables:
        raise wrong_layout(path, LAYOUT, found_in(path))
    return parquet.photos(path, tables, "folder of images")


def left_out(path: Path, taken: Sequence[Photo]) -> str:
    """Return a text that says which files below ``path`` were not ``taken`` and why, or none."""
    chosen = {photo.file for photo in taken}
    others = [file for file in walk(path) if file not in chosen and not file.is_dir()]
    folders = sum(file.is_dir() for file in walk(path))
    hidden = sum(is_hidden(file.name) for file in others)
    seen = [file for file in others if not is_hidden(file.name)]
    special = sum(not file.is_file() for file in seen)
    endings = Counter(file.suffix.lower() for file in seen if file.is_file())
    bare = endings.pop("", 0)
    named = [f"{count:,} {ending}" for ending, count in endings.most_common(NAMED)]
    more = sum(endings.values()) - sum(count for _, count in endings.most_common(NAMED))
    named += [f"{more:,} with other endings"] if more else []
    told = [f"{', '.join(named)} (endings that are not read: convert images to .jpg or .png)"]
    told = told if named else []
    told += [f"{bare:,} without an ending (their content is no image)"] if bare else []
    told += [f"{special:,} pipes, devices or broken links"] if special else []
    told += [f"{hidden:,} hidden"] if hidden else []
    told += [f"and {folders:,} hidden folders with all that is in them"] if folders else []
    return f"{len(others):,} files left out: {', '.join(told)}" if told else ""


def _is_image(file: Path) -> bool:
    if is_hidden(file.name) or not file.is_file():  # a pipe's opening would wait for its writer
        return False
    return file.suffix.lower() in IMAGE_ENDINGS or (not file.suffix and _holds_image(file))


def _holds_image(file: Path) -> bool:
    """Return whether a file begins as an image does; one that is damaged is reported later."""
    try:
        Image.open(file, formats=FORMATS).close()
    except UnidentifiedImageError:
        return False
    except Exception:  # of many kinds; the preparation meets it again, and says why
        return True
    return True
