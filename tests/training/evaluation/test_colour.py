"""Tint and contrast of a whole set, which the Wasserstein distance cannot see."""

import numpy as np
import pytest

from training.evaluation.colour import colour


def test_statistics_are_those_of_all_pixels(shuffled):
    images = shuffled[:50]
    pixels = images.reshape(-1, 3).astype(float)
    assert colour(images).mean == pytest.approx(tuple(pixels.mean(0)))
    assert colour(images).deviation == pytest.approx(tuple(pixels.std(0)))


def test_difference_is_the_largest_of_any_channel(shuffled):
    images = shuffled[:50] // 2
    tinted = images + np.array([0, 3, 20], np.uint8)
    assert colour(images).difference(colour(tinted)) == pytest.approx(20)
    assert colour(tinted).difference(colour(images)) == pytest.approx(20)


def test_lower_contrast_shows_in_the_deviation(shuffled):
    one = colour(shuffled[:50])
    other = colour((shuffled[:50].astype(float) * 0.5 + 60).astype(np.uint8))
    assert one.difference(other) > 25
