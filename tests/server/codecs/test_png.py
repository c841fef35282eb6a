"""What callers get decodes to the very pixels that the model drew."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from server.codecs.png import STORED, encode_png, png_bytes, png_size

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of channels."""
COLORS = st.sampled_from(list(MODES))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def decoded(png):
    """Return the image in ``png``, uint8 [H, W, C], in the mode of its channels."""
    image = Image.open(io.BytesIO(png))
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    assert image.mode == MODES[pixels.shape[2]]
    return pixels


@given(st.integers(1, 200), st.integers(1, 200), COLORS)
def test_png_decodes_to_the_same_pixels_at_any_size(height, width, channels):
    image = noise(height, width, channels)
    assert np.array_equal(decoded(encode_png(image)), image)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_png_of_whole_blocks_and_of_a_line_more_or_less(channels, blocks, more):
    width = 84 // channels  # a line has 85 bytes, and 771 of them are one stored block
    image = noise(771 * blocks + more, width, channels)
    assert np.array_equal(decoded(encode_png(image)), image)


def test_png_of_one_small_image_is_spelled_out_byte_for_byte():
    png = encode_png(np.array([[[1, 2, 3]]], np.uint8))
    assert png.hex() == (
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
        "0000000f494441547801010400fbff00010203000e00072da233ec0000000049454e44ae426082"
    )


@pytest.mark.parametrize("shape", [(32, 32, 3), (256, 256, 3), (128, 600, 1), (300, 300, 4)])
def test_no_compressor_has_a_say_in_the_bytes(shape, monkeypatch):
    def compress(*_, **__):
        raise AssertionError("other machines have another zlib")

    for name in ("compress", "compressobj"):
        monkeypatch.setattr(zlib, name, compress)
    image = noise(*shape)
    png = encode_png(image)
    raw = image.size + shape[0]
    assert len(png) == 8 + 25 + 12 + 6 + raw + 17 * -(-raw // STORED)


def test_sheet_shows_images_row_by_row_and_black_after_the_last():
    images = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)])
    sheet = decoded(png_bytes(images))
    assert sheet[::2, ::2, 0].tolist() == [[10, 20, 30], [40, 50, 0]]


@pytest.mark.parametrize("channels", MODES)
def test_sheet_is_black_after_the_last_image_and_of_rgba_transparent(channels):
    images = noise(7, 3, 5, channels)
    sheet = decoded(png_bytes(images))
    assert sheet.shape == (9, 15, channels)
    assert np.array_equal(sheet[3:6, 5:10], images[4])
    assert np.array_equal(sheet[6:, :5], images[6])
    assert not sheet[6:, 5:].any()


def test_one_image_is_no_sheet():
    images = noise(1, 32, 32, 3)
    assert png_bytes(images) == encode_png(images[0])


@pytest.mark.parametrize(
    "shape", [(1, 32, 32, 3), (5, 3, 7, 4), (7, 200, 300, 1), (1, 771, 28, 3), (1, 772, 28, 3)]
)
def test_size_is_known_before_anything_is_drawn(shape):
    assert png_size(shape) == len(png_bytes(noise(*shape)))
