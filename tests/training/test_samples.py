"""Grids lay images out in order; a film shows the epochs and ends with the newest."""

import numpy as np
import pytest
from PIL import Image

from training.samples import FRAMES, LAST_FRAME_MS, grid, save_film, to_uint8


def test_floats_become_grey_levels_by_rounding_and_clipping():
    floats = np.array([-1.5, -1.0, 0.0, 1.0, 1.5, 1 / 255], np.float32)
    assert to_uint8(floats).tolist() == [0, 0, 128, 255, 255, 128]


def test_grid_has_its_images_row_by_row():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sheet = grid(images, columns=3, zoom=2)
    assert sheet.size == ((3 * 6 + 2) * 2, (2 * 6 + 2) * 2)
    found = [
        sheet.getpixel((2 * (2 + 6 * c), 2 * (2 + 6 * r)))[0] for r in (0, 1) for c in range(3)
    ]
    assert found == [0, 1, 2, 3, 4, 255]


def shade(epoch):
    """Return a red that neighbours do not share: WebP makes one frame of two that are alike."""
    return 20 + epoch * 67 % 200


@pytest.mark.parametrize(("epochs", "frames"), [(3, 3), (FRAMES, FRAMES), (FRAMES + 1, 61)])
def test_film_shows_the_epochs_and_holds_the_newest(tmp_path, epochs, frames):
    sheets = []
    for epoch in range(epochs):
        sheets.append(tmp_path / f"epoch-{epoch:04d}.png")
        Image.new("RGB", (16, 16), (shade(epoch), 0, 0)).save(sheets[-1])
    save_film(sheets, tmp_path / "film.webp")
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (frames, (8, 8))
        film.seek(film.n_frames - 1)
        film.load()
        assert film.info["duration"] == LAST_FRAME_MS
        assert abs(film.convert("RGB").getpixel((4, 4))[0] - shade(epochs - 1)) < 8
