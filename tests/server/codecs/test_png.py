"""What callers get decodes to the very pixels that the model drew."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from server.codecs.archive import npy_bytes
from server.codecs.png import contact_sheet, encode_png, png_bytes


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def decoded(png):
    image = Image.open(io.BytesIO(png))
    assert image.mode == "RGB"
    return np.asarray(image)


@given(st.integers(1, 200), st.integers(1, 200))
def test_png_decodes_to_the_same_pixels_at_any_size(height, width):
    image = noise(height, width, 3)
    assert (decoded(encode_png(image)) == image).all()


@pytest.mark.parametrize("height", [771, 772])  # 65,535 raw bytes are one stored block
def test_png_of_the_most_that_is_stored_and_of_a_line_more(height):
    image = noise(height, 28, 3)
    assert (decoded(encode_png(image)) == image).all()


def test_png_of_one_small_image_is_spelled_out_byte_for_byte():
    png = encode_png(np.array([[[1, 2, 3]]], np.uint8))
    assert png.hex() == (
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
        "0000000f494441547801010400fbff00010203000e00072da233ec0000000049454e44ae426082"
    )


def test_sheet_shows_images_row_by_row_and_black_after_the_last():
    images = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)])
    sheet = decoded(png_bytes(images))
    assert sheet[::2, ::2, 0].tolist() == [[10, 20, 30], [40, 50, 0]]


def test_one_image_is_no_sheet():
    images = noise(1, 32, 32, 3)
    assert png_bytes(images) == encode_png(images[0])
    assert contact_sheet(noise(4096, 2, 2, 3)).shape == (128, 128, 3)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_npy_loads_as_the_same_array(n):
    images = noise(n, 32, 32, 3)
    loaded = np.load(io.BytesIO(npy_bytes(images)))
    assert loaded.dtype == np.uint8
    assert (loaded == images).all()


def test_npy_of_a_view_is_packed():
    images = noise(4, 8, 8, 3)[::2]
    assert (np.load(io.BytesIO(npy_bytes(images))) == images).all()
