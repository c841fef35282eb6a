"""Pixels become squares."""

import numpy as np
import pytest

from server.codecs.enlarge import FILTERS, nearest


def test_each_pixel_is_a_square_of_its_own_color():
    images = np.arange(2 * 2 * 3 * 4, dtype=np.uint8).reshape(2, 2, 3, 4)
    large = nearest(images, 3)
    assert large.shape == (2, 6, 9, 4)
    for y in range(6):
        for x in range(9):
            assert (large[:, y, x] == images[:, y // 3, x // 3]).all()


@pytest.mark.parametrize("enlarge", FILTERS.values())
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_filter_takes_all_colors(enlarge, channels):
    assert enlarge(np.ones((3, 4, 5, channels), np.uint8), 2).shape == (3, 8, 10, channels)
