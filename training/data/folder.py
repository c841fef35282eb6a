"""Any directory of images, with all its subdirectories."""

import os
from pathlib import Path

from training.data.layout import Photo, found_in, wrong_layout

ENDINGS = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
LAYOUT = f"  .../<file>, ending in {', '.join(sorted(ENDINGS))}"


def photos(path: Path) -> list[Photo]:
    """Return the images below ``path``, sorted by name, without hidden files.

    Raises:
        DataError: there is no image.
    """
    files = [
        Path(folder) / name
        for folder, _, names in os.walk(path)
        for name in names
        if Path(name).suffix.lower() in ENDINGS and not name.startswith(".")
    ]
    if not files:
        raise wrong_layout(path, LAYOUT, found_in(path))
    return [Photo(file) for file in sorted(files, key=lambda file: file.relative_to(path).parts)]
