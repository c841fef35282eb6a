"""Pictures of what a generator draws, for people to look at."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 2
"""Pixels between two images of a grid."""


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn float images in [-1, 1] into uint8 images: round half to even, clip to 0..255."""
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)


def grid(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """Lay uint8 images [N, H, W, 3] out row by row on white."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        place = (column * (width + GAP) + GAP, row * (height + GAP) + GAP)
        sheet.paste(Image.fromarray(image), place)
    return sheet


def save_samples(generator: keras.Model, latents: NDArray[np.float32], path: Path) -> None:
    """Draw ``latents`` with ``generator`` and write the grid, twice enlarged, to ``path``."""
    images = to_uint8(np.asarray(generator(latents, training=False), np.float32))
    sheet = grid(images, columns=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(path)
