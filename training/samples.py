"""Pictures of a generator's images, for people to look at."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 2
"""The pixels between two images of a grid."""
FRAMES = 120
"""The largest number of frames of a film; a longer run's shows every second or third epoch."""
FRAME_MS, LAST_FRAME_MS = 120, 2000


def draw(
    generator: keras.Model, latents: NDArray[np.float32], batch_size: int = 500
) -> NDArray[np.uint8]:
    """Return the images of ``latents``, float32 [N, dim], as uint8 [N, H, W, 3]."""
    parts = [latents[i : i + batch_size] for i in range(0, len(latents), batch_size)]
    drawn = [to_uint8(np.asarray(generator(part, training=False), np.float32)) for part in parts]
    return np.concatenate(drawn)


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn float images in [-1, 1] into uint8 images: round half to even, clip to 0..255."""
    levels: NDArray[np.float32] = np.rint((images + 1.0) * 127.5)
    return np.clip(levels, 0, 255).astype(np.uint8)


def grid(images: NDArray[np.uint8], columns: int, zoom: int = 2) -> Image.Image:
    """Return uint8 images [N, H, W, 3] as a sheet, row by row on white, enlarged ``zoom`` times."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        place = (column * (width + GAP) + GAP, row * (height + GAP) + GAP)
        sheet.paste(Image.fromarray(image), place)
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)


def save_film(sheets: list[Path], path: Path) -> None:
    """Write the pictures ``sheets``, in their order, as an animated WebP at half their size."""
    step = -(-len(sheets) // FRAMES)
    chosen = sheets[::-1][::step][::-1]  # the film always has the newest sheet
    frames = []
    for sheet in chosen:
        with Image.open(sheet) as image:
            frames.append(image.convert("RGB").reduce(2))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=80
    )
