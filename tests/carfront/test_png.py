"""PNGs of many images at once are the files that the server makes of each."""

import io

import numpy as np
import pytest
from PIL import Image

from carfront.errors import BadAnswer
from carfront.png import frames_of, layout, pixels_of, write_pngs
from server.codecs.png import encode_png

SHAPES = [(32, 32, 3), (1, 1, 1), (5, 7, 4), (150, 146, 3), (300, 256, 3), (256, 255, 1)]
"""Heights, widths and channels, of one block and of several, some of them just full."""


def some_images(n, shape):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_files_are_those_of_the_server(shape):
    images = some_images(3, shape)
    rows = np.zeros((3, layout(*shape).size + 10), np.uint8)
    write_pngs(images, rows[:, 5:-5])
    assert [row.tobytes() for row in rows[:, 5:-5]] == [encode_png(image) for image in images]


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_are_read_back_and_others_read_them_too(shape):
    images = some_images(2, shape)
    files = np.zeros((2, layout(*shape).size), np.uint8)
    write_pngs(images, files)
    np.testing.assert_array_equal(pixels_of(files, shape), images)
    read = np.asarray(Image.open(io.BytesIO(files[1].tobytes())))
    np.testing.assert_array_equal(read.reshape(shape), images[1])


def test_frames_are_cut_out_of_a_strip():
    frames = some_images(4, (8, 8, 3))
    strip = encode_png(frames.swapaxes(0, 1).reshape(8, 32, 3))
    np.testing.assert_array_equal(frames_of(strip, 4), frames)


@pytest.mark.parametrize("data", [b"", b"<html>", encode_png(some_images(1, (8, 9, 3))[0])[:-40]])
def test_what_is_no_strip_is_refused(data):
    with pytest.raises(BadAnswer, match="the answer is"):
        frames_of(data, 2)
