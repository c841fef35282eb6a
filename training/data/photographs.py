"""The images of a source's list of files, from the cache or prepared and put there."""

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from training.data import cache
from training.data.layout import DataError, Images, Photo
from training.data.progress import Progress
from training.data.report import Report
from training.data.workers import prepare_all


def load_photographs(
    source: str,
    root: Path,
    photos: list[Photo],
    settings: dict[str, Any],
    crop_margin: float,
    layout: str,
) -> Images:
    """Return the photographs below ``root`` as uint8 [N, size, size, 3], mapped from the cache.

    ``settings`` determine the pixels: they are ``size`` and the source's own settings. ``layout``
    says how the photographs were found, and is noted beside the pixels.

    Raises:
        DataError: more than 1 % of the files cannot be read.
    """
    size = settings["size"]
    key = cache.key(source, root, photos, settings)
    path = cache.cache_dir() / f"{source}-{size}-{key[:16]}.npy"
    images = cache.load(path, key)
    if images is not None:
        cache.note_layout(path, layout)
        return images
    report = Report(path.with_suffix(".report.json"), root, len(photos))
    facts = {"schema_version": 1, "source": source, "layout": layout, "settings": settings}
    with closing(_prepare(photos, size, crop_margin, report)) as prepared:
        cache.write(path, facts | {"key": key}, size, prepared)
    report.write()
    print(f"{source}: {report.line()}", file=sys.stderr, flush=True)
    images = cache.load(path, key)
    if images is None:
        raise DataError(f"{path} cannot be read back after it was written: a disk at its end?")
    return images


def _prepare(
    photos: list[Photo], size: int, crop_margin: float, report: Report
) -> Generator[Images, None, None]:
    """Yield the pixels of all photographs that can be read, and show progress and report all."""
    progress = Progress(len(photos))
    with closing(progress), closing(prepare_all(photos, size, crop_margin)) as results:
        for photo, prepared in zip(photos, results, strict=True):
            report.add(photo, prepared)
            progress.advance()
            if prepared.pixels is not None:
                yield prepared.pixels
