"""Images of generators, grey, RGB or RGBA, as pictures for people."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of an image's channels."""
COLUMNS, ROWS = 16, 8
ZOOM = 2
WIDTH, HEIGHT = 2200, 1100
"""The pixels of a sheet, about, beyond which images are not enlarged, and then fewer."""
GAP = 2
"""The pixels between two images of a grid."""


def picture(image: NDArray[np.uint8]) -> Image.Image:
    """Return ``image``, uint8 [height, width, channels], as it is."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def grid(images: NDArray[np.uint8]) -> Image.Image:
    """Return ``images``, uint8 [N, height, width, channels], as an enlarged sheet, row by row.

    Between them is white; what is transparent in an image stays so.
    """
    _, height, width, channels = images.shape
    columns, _, zoom = sheet_of(images.shape[1:])
    rows = -(-len(images) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new(MODES[channels], size, "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        sheet.paste(picture(image), (column * (width + GAP) + GAP, row * (height + GAP) + GAP))
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)


def sheet_of(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the columns and rows of a sheet of images [height, width, channels], and its zoom."""
    height, width, _ = image_shape
    columns, rows = max(1, min(COLUMNS, WIDTH // width)), max(1, min(ROWS, HEIGHT // height))
    return columns, rows, ZOOM if COLUMNS * ZOOM * width < WIDTH else 1


def difference(
    one: NDArray[np.uint8], other: NDArray[np.uint8], amplified: int
) -> NDArray[np.uint8]:
    """Return how much two images uint8 [height, width, channels] differ, ``amplified`` times.

    The result is an image that hides nothing: it has no alpha channel, and where the alpha channels
    differ it is bright.
    """
    off = np.abs(one.astype(np.int16) - other) * amplified
    if off.shape[2] == 4:
        off = np.maximum(off[:, :, :3], off[:, :, 3:])
    shown: NDArray[np.uint8] = np.minimum(off, 255).astype(np.uint8)
    return shown
