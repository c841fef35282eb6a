"""Pictures of a bundle show what its images hold, whatever channels these have."""

import numpy as np
import pytest

from export.pictures import COLUMNS, GAP, ZOOM, difference, grid, picture

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("size", [(4, 6), (1, 3), (1, 1)])
def test_picture_is_the_image(size, channels):
    image = noise(*size, channels)
    shown = picture(image)
    assert (shown.mode, shown.size) == (MODES[channels], size[::-1])
    assert np.array_equal(np.asarray(shown).reshape(image.shape), image)


@pytest.mark.parametrize("channels", MODES)
def test_grid_shows_every_image_as_it_is_on_white(channels):
    images = noise(COLUMNS + 2, 4, 6, channels)
    shown = grid(images)
    assert shown.mode == MODES[channels]
    pixels = np.asarray(shown).reshape(shown.height, shown.width, channels)[::ZOOM, ::ZOOM]
    for place, image in enumerate(images):
        row, column = divmod(place, COLUMNS)
        top, left = GAP + row * (4 + GAP), GAP + column * (6 + GAP)
        assert np.array_equal(pixels[top : top + 4, left : left + 6], image)
    assert (pixels[:GAP] == 255).all()


def test_difference_is_amplified_and_no_alpha_channel_hides_it():
    one = noise(2, 3, 4) // 2
    other = one.copy()
    assert difference(one, other, 32).shape == (2, 3, 3)
    assert not difference(one, other, 32).any()
    other[0, 0, 1] += 2
    other[1, 1, 3] += 9
    shown = difference(one, other, 32)
    assert shown[0, 0].tolist() == [0, 64, 0]
    assert shown[1, 1].tolist() == [255, 255, 255]
    assert difference(one[:, :, :1], other[:, :, :1], 32).shape == (2, 3, 1)
