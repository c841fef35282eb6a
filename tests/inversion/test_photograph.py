"""Photographs as the search wants them: cut as the training cuts, and what is hidden told apart."""

import io

import numpy as np
import pytest
from PIL import Image

from inversion import photograph
from inversion.photograph import PhotographRefused, read_photograph, to_bytes
from training.data.layout import Photo
from training.data.prepare import prepare

SHAPE = (32, 32, 3)
ORIENTATION = 0x0112


def scene(width, height, mode="RGB"):
    """A picture whose every part is told from every other."""
    y, x = np.mgrid[:height, :width]
    levels = np.stack([255 * x / width, 255 * y / height, 128 + 90 * np.sin((x + y) / 9)], axis=2)
    return Image.fromarray(levels.astype(np.uint8)).convert(mode)


def file_of(image, form="PNG", **more):
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "size", "mode", "orientation"),
    [
        ("PNG", (300, 200), "RGB", 1),
        ("PNG", (40, 90), "L", 1),
        ("WEBP", (65, 64), "RGB", 1),
        ("JPEG", (1200, 900), "RGB", 1),
        ("JPEG", (1200, 900), "CMYK", 1),
        ("JPEG", (700, 900), "RGB", 6),
        ("JPEG", (900, 700), "RGB", 3),
        ("JPEG", (33, 47), "RGB", 5),
    ],
)
def test_photograph_is_cut_as_the_training_cuts(tmp_path, form, size, mode, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = file_of(scene(*size, mode), form, exif=exif)
    (tmp_path / "photo").write_bytes(content)
    wanted = prepare(Photo(tmp_path / "photo"), 32, 0.05).pixels
    found = read_photograph(content, SHAPE)
    np.testing.assert_array_equal(found.pixels, wanted)
    assert found.shown.min() == 1


def test_16_bits_are_scaled_and_not_clipped():
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = read_photograph(file_of(Image.fromarray(grey)), SHAPE)
    assert 110 < found.pixels.mean() < 145


@pytest.mark.parametrize("shape", [(16, 48, 3), (48, 16, 1)])
def test_images_that_are_no_squares_are_cut_from_the_middle_as_large_as_may_be(shape):
    found = read_photograph(file_of(scene(480, 480)), shape)
    assert found.pixels.shape == shape
    assert found.pixels[..., 0].std() > 5


def test_what_is_transparent_is_hidden_and_colors_nothing_beside_it():
    image = scene(64, 64).convert("RGBA")
    image.paste((255, 0, 255, 0), (0, 0, 32, 64))
    found = read_photograph(file_of(image), SHAPE)
    assert found.shown[:, :14].max() == 0
    assert found.shown[:, 18:].min() == 1
    plain = read_photograph(file_of(scene(64, 64)), SHAPE)
    seen = found.shown[:, :, 0] > 0.5
    off = np.abs(found.pixels[seen].astype(int) - plain.pixels[seen])
    assert off.max() < 40  # magenta would be 200 away
    assert off.mean() < 2


@pytest.mark.parametrize("orientation", [1, 6])
def test_mask_hides_what_is_white_as_the_photograph_is_looked_at(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = file_of(scene(60, 80), "JPEG", exif=exif)
    size = (60, 80) if orientation == 1 else (80, 60)
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0], size[1] // 2))
    found = read_photograph(content, SHAPE, file_of(mask))
    assert found.shown[:14].max() == 0
    assert found.shown[18:].min() == 1


def test_filled_photograph_keeps_what_is_seen_and_takes_the_rest():
    image = scene(64, 64).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    found = read_photograph(file_of(image), SHAPE)
    filled = found.filled(np.full(SHAPE, -1.0, np.float32))
    assert filled[:, :14].max() == 0
    np.testing.assert_array_equal(filled[:, 18:], found.pixels[:, 18:])


def test_distance_is_in_grey_levels_of_what_is_seen():
    found = read_photograph(file_of(Image.new("RGB", (40, 40), (100, 100, 100))), SHAPE)
    image = np.full(SHAPE, 110 / 127.5 - 1, np.float32)
    assert found.distance(image) == pytest.approx(10, abs=0.01)
    assert to_bytes(image).max() == 110


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "photo"),
        (b"GIF89a" + bytes(40), "photo"),
        (file_of(scene(64, 64))[:-100], "photo"),
        (file_of(scene(64, 64), "GIF"), "photo"),
        (file_of(Image.new("RGB", (1, 64))), "photo"),
        (file_of(Image.new("RGBA", (64, 64), (0, 0, 0, 0))), "photo"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(content, field):
    with pytest.raises(PhotographRefused, match=f"^{field} is .*; wanted ") as refused:
        read_photograph(content, SHAPE)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "mask", [b"nothing", file_of(scene(63, 64)), file_of(scene(64, 64))[:-100]]
)
def test_mask_that_does_not_fit_is_refused_by_its_name(mask):
    with pytest.raises(PhotographRefused, match=r"^mask is .*; wanted "):
        read_photograph(file_of(scene(64, 64)), SHAPE, mask)


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    content = file_of(Image.new("1", (40, 40)))
    monkeypatch.setattr(photograph, "MOST_PIXELS", 1000)
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(PhotographRefused, match="at most 1,000 in all"):
        read_photograph(content, SHAPE)
