"""A file becomes the right pixels, whatever its format, or is skipped with the reason."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.data.layout import NO_BOX, Photo
from training.data.prepare import ORIENTATION, UPRIGHT, Unusable, _decode_small, cut, prepare

SIDES = st.integers(1, 3000)


def pixels(path, box=None, size=32, crop_margin=0.0):
    prepared = prepare(Photo(path, box), size, crop_margin)
    assert prepared.fault == ""
    assert prepared.pixels.dtype == np.uint8
    assert prepared.pixels.shape == (size, size, 3)
    return prepared.pixels


def quarters(side=64):
    """A picture whose four quarters differ: no turning or mirroring leaves it as it was."""
    image = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    image[:half, :half], image[:half, half:] = (255, 0, 0), (0, 255, 0)
    image[half:, :half], image[half:, half:] = (0, 0, 255), (255, 255, 255)
    return Image.fromarray(image)


# What is cut


def test_square_around_a_wide_box_is_filled_by_the_photograph():
    assert cut((30, 40, 90, 60), 120, 100, 0.0) == (30, 20, 90, 80)


def test_margin_is_added_on_each_side_of_the_longer_side():
    left, top, right, bottom = cut((30, 40, 80, 60), 120, 100, 0.1)
    np.testing.assert_allclose((left, top, right, bottom), (25, 20, 85, 80))


def test_square_that_would_leave_the_photograph_is_moved_into_it():
    assert cut((0, 0, 60, 20), 120, 100, 0.0) == (0, 0, 60, 60)
    assert cut((60, 80, 120, 100), 120, 100, 0.0) == (60, 40, 120, 100)


def test_photograph_too_short_for_the_square_gives_its_whole_height():
    assert cut((10, 10, 110, 40), 120, 50, 0.0) == (10, 0, 110, 50)


def test_photograph_without_a_box_gives_its_middle_square():
    assert cut(None, 100, 60, 0.5) == (20, 0, 80, 60)
    assert cut(None, 60, 100, 0.5) == (0, 20, 60, 80)


@given(st.tuples(SIDES, SIDES, SIDES, SIDES), SIDES, SIDES, st.floats(0, 1))
def test_cut_holds_the_box_and_stays_in_the_photograph(box, width, height, crop_margin):
    x1, y1, x2, y2 = box
    box = (min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2), max(y1, y2))
    if box[0] >= width or box[1] >= height:
        with pytest.raises(Unusable):
            cut(box, width, height, crop_margin)
        return
    left, top, right, bottom = cut(box, width, height, crop_margin)
    near = 1e-6
    assert 0 <= left <= box[0] + near
    assert 0 <= top <= box[1] + near
    assert min(box[2], width) - near <= right <= width + near
    assert min(box[3], height) - near <= bottom <= height + near


@pytest.mark.parametrize("box", [NO_BOX, (200, 0, 300, 50), (-9, -9, 0, 0), (50, 0, 20, 50)])
def test_box_that_shows_nothing_skips_the_photograph(box, tmp_path, street, save):
    file = save(street(), tmp_path / "a.png")
    prepared = prepare(Photo(file, box), 32, 0.0)
    assert prepared.pixels is None
    assert f"no part of the box {box} lies in its 96x64 pixels" in prepared.fault


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("times", [1, 4, 16])
def test_box_is_what_is_shown_at_every_scale_of_decoding(
    tmp_path, street, save, shows_car, ending, times
):
    box = tuple(times * side for side in (32, 16, 64, 48))
    file = save(street(96 * times, 64 * times, box), tmp_path / f"a.{ending}")
    assert shows_car(pixels(file, box))
    assert not shows_car(pixels(file, (0, *box[1:])))


def test_jpeg_at_a_reduced_scale_looks_as_it_would_at_the_full(tmp_path, save):
    rng = np.random.default_rng(0)
    scene = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    scene = scene.resize((1000, 1000), Image.Resampling.BICUBIC)
    file = save(scene, tmp_path / "a.jpg", quality=95)
    wanted = np.asarray(Image.open(file).resize((32, 32), Image.Resampling.BICUBIC), np.int16)
    assert np.abs(pixels(file) - wanted).mean() < 3


@pytest.mark.parametrize(
    ("size", "box", "scale"),
    [
        (32, None, 8),
        (64, None, 8),
        (128, None, 4),
        (32, (0, 0, 300, 300), 4),
        (128, (0, 0, 9, 9), 1),
    ],
)
def test_jpeg_is_decoded_no_larger_than_it_needs_to_be(tmp_path, save, street, size, box, scale):
    with Image.open(save(street(1152, 864), tmp_path / "a.jpg")) as image:
        region = cut(box, *image.size, 0.0)
        reduced = _decode_small(image, region, size)
        assert image.size == (1152 // scale, 864 // scale)
        assert reduced == tuple(edge / scale for edge in region)


def test_fine_pattern_is_averaged_not_sampled(tmp_path, save):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    image = pixels(save(Image.fromarray(stripes), tmp_path / "a.png"))
    assert np.abs(image.astype(int) - 128).max() <= 4


# Kinds of files


def kinds(path):
    return prepare(Photo(path), 32, 0.0).kinds


def test_greyscale_becomes_three_equal_channels(tmp_path, save):
    for name, mode in (("a.jpg", "L"), ("b.png", "L"), ("c.png", "LA"), ("d.png", "1")):
        file = save(quarters().convert(mode), tmp_path / name)
        image = pixels(file)
        assert (image[..., 0] == image[..., 1]).all()
        assert (image[..., 0] == image[..., 2]).all()
        assert image[-4, -4, 0] > 250
        assert "greyscale" in kinds(file)


def test_cmyk_keeps_its_colours(tmp_path, save):
    file = save(quarters().convert("CMYK"), tmp_path / "a.jpg", quality=95)
    with Image.open(file) as image:
        assert image.mode == "CMYK"
    np.testing.assert_allclose(pixels(file)[8, 8], (255, 0, 0), atol=12)
    np.testing.assert_allclose(pixels(file)[24, 24], (255, 255, 255), atol=12)
    assert kinds(file) == ("CMYK",)


def test_palette_gives_its_colours_and_white_where_it_is_transparent(tmp_path, save):
    image = quarters().quantize(4)
    red = image.getpixel((0, 0))
    for name in ("a.png", "a.gif"):
        file = save(image, tmp_path / name, transparency=red)
        np.testing.assert_allclose(pixels(file)[8, 8], (255, 255, 255), atol=1)
        np.testing.assert_allclose(pixels(file)[8, 24], (0, 255, 0), atol=1)
        assert kinds(file) == ("palette", "transparent")


def test_palette_with_half_transparent_colours_is_blended_with_white(tmp_path, save):
    image = quarters().quantize(4)
    file = save(image, tmp_path / "a.png", transparency=bytes([128] * 4))
    np.testing.assert_allclose(pixels(file)[24, 8], (127, 127, 255), atol=2)


def test_transparent_colours_are_blended_with_white(tmp_path, save):
    image = quarters()
    image.putalpha(0)
    for name in ("a.png", "a.webp"):
        assert (pixels(save(image, tmp_path / name, lossless=True)) == 255).all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path, save):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    for name in ("a.png", "a.tiff"):
        file = save(Image.fromarray(ramp), tmp_path / name)
        row = pixels(file)[16, :, 0].astype(int)
        assert (np.diff(row) > 0).all()
        assert row[0] < 10
        assert row[-1] > 245
        assert kinds(file) == ("16-bit",)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_first_picture_of_an_animation_is_taken(tmp_path, save, street, name):
    first, second = street(32, 32, road=(250, 0, 0)), street(32, 32, road=(0, 0, 250))
    file = save(first, tmp_path / name, save_all=True, append_images=[second], lossless=True)
    np.testing.assert_allclose(pixels(file)[16, 16], (250, 0, 0), atol=3)
    assert "animated, its first picture taken" in kinds(file)


def test_first_picture_of_a_phone_is_taken_and_nothing_said(tmp_path, save, street):
    first, second = street(600, 600, road=(250, 0, 0)), street(600, 600, road=(0, 0, 250))
    file = save(first, tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(file) as image:
        assert image.format == "MPO"
    np.testing.assert_allclose(pixels(file)[16, 16], (250, 0, 0), atol=3)
    assert kinds(file) == ()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("way_up", sorted(UPRIGHT))
def test_photograph_held_sideways_comes_out_upright(tmp_path, save, ending, way_up):
    undo = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
    undo |= {value: key for key, value in undo.items()}
    turned = quarters(512).transpose(undo.get(UPRIGHT[way_up], UPRIGHT[way_up]))
    exif = Image.Exif()
    exif[ORIENTATION] = way_up
    file = save(turned, tmp_path / f"a.{ending}", exif=exif)
    upright = pixels(save(quarters(512), tmp_path / f"b.{ending}"))
    np.testing.assert_allclose(pixels(file).astype(int), upright, atol=12)


def test_box_is_in_the_pixels_as_stored_and_its_cut_is_turned(tmp_path, save):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = save(quarters(512), tmp_path / "a.jpg", exif=exif, quality=95)
    upper = pixels(file, (0, 0, 512, 200), crop_margin=0.0)
    np.testing.assert_allclose(upper[8, 24], (255, 0, 0), atol=12)
    assert prepare(Photo(file), 32, 0.0).kinds == ("rotated by EXIF",)


# Files that give no image


def damaged(path):
    content = path.read_bytes()
    start = len(content) // 2
    path.write_bytes(content[:start] + bytes(64) + content[start + 64 :])


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9])
def test_file_cut_short_is_skipped_with_the_reason(tmp_path, save, ending, part):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    file = save(Image.fromarray(noise), tmp_path / f"a.{ending}")
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    prepared = prepare(Photo(file), 32, 0.0)
    assert prepared.pixels is None
    assert prepared.fault


def test_png_with_wrong_bytes_is_skipped(tmp_path, save):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    file = save(Image.fromarray(noise), tmp_path / "a.png")
    damaged(file)
    assert prepare(Photo(file), 32, 0.0).pixels is None


def test_what_is_no_image_is_skipped_with_the_reason(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    (tmp_path / "folder.jpg").mkdir()
    assert "cannot identify image" in prepare(Photo(tmp_path / "a.jpg"), 32, 0.0).fault
    assert prepare(Photo(tmp_path / "gone.jpg"), 32, 0.0).fault.startswith("FileNotFoundError")
    assert prepare(Photo(tmp_path / "folder.jpg"), 32, 0.0).fault.startswith("IsADirectoryError")


def test_pipe_is_skipped_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    for name in ("a.jpg", "b.jpg"):
        prepared = prepare(Photo(tmp_path / name), 32, 0.0)
        assert prepared.fault == "Unusable: it is a pipe, a socket or a device"


def test_picture_of_unknown_range_is_skipped(tmp_path, save):
    file = save(Image.fromarray(np.ones((40, 40), np.float32)), tmp_path / "a.tiff")
    assert "floating-point" in prepare(Photo(file), 32, 0.0).fault


def test_picture_that_would_fill_the_memory_is_skipped(tmp_path, save, monkeypatch):
    file = save(quarters(), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert prepare(Photo(file), 32, 0.0).fault.startswith("DecompressionBombError")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    assert prepare(Photo(file), 32, 0.0).pixels is not None
