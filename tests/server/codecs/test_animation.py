"""Animations hold every image, there and back, for ever, in the colors of the model."""

import io

import numpy as np
import pytest
from PIL import Image

from server.codecs.animation import ANIMATIONS


def smooth(n, channels):
    """Images without much detail, each brighter than the one before."""
    y, x = np.mgrid[0:20, 0:24]
    values = 20 + 3 * y[..., None] + 2 * x[..., None] * np.arange(1, channels + 1)
    if channels == 4:
        values[..., 3] = 255
    shade = np.array([12, 12, 12, 0])[:channels] if channels == 4 else 12
    return np.stack([np.clip(values + shade * i, 0, 255).astype(np.uint8) for i in range(n)])


def frames(file, name):
    """The mode, the facts and the frames of an animation, and how long each is shown."""
    image = Image.open(io.BytesIO(file), formats=[name])
    shown, times = [], []
    for number in range(image.n_frames):
        image.seek(number)
        image.load()
        shown.append(np.asarray(image.convert("RGB")).astype(int))
        times.append(image.info["duration"])
    return image.info["loop"], shown, times


@pytest.mark.parametrize("name", ANIMATIONS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_animation_goes_there_and_back_for_ever(name, channels):
    images = smooth(4, channels)
    loop, shown, times = frames(ANIMATIONS[name].encode(images, frame_ms=150), name.upper())
    assert loop == 0
    assert times == [150] * 6
    for found, wanted in zip(shown, images[[0, 1, 2, 3, 2, 1]], strict=True):
        assert np.abs(found - wanted[..., :3]).mean() < 4, "of 256 levels"


@pytest.mark.parametrize("name", ANIMATIONS)
def test_two_images_take_turns(name):
    _, shown, times = frames(ANIMATIONS[name].encode(smooth(2, 3), frame_ms=20), name.upper())
    assert (len(shown), times) == (2, [20, 20])


def test_grey_is_exact_in_a_gif():
    images = smooth(3, 1)
    _, shown, _ = frames(ANIMATIONS["gif"].encode(images, frame_ms=100), "GIF")
    assert (np.stack(shown)[:3, ..., :1] == images).all()


def test_transparent_pixels_are_white_in_a_gif():
    images = np.zeros((2, 16, 16, 4), np.uint8)
    images[:, :8] = [200, 0, 0, 255]
    images[1, :8, :8] = [0, 0, 200, 255]
    _, shown, _ = frames(ANIMATIONS["gif"].encode(images, frame_ms=100), "GIF")
    assert (shown[0][8:] == 255).all()
    assert (shown[0][:8] == [200, 0, 0]).all()


@pytest.mark.parametrize("name", ANIMATIONS)
def test_same_images_are_the_same_bytes(name):
    images = smooth(5, 3)
    encode = ANIMATIONS[name].encode
    assert encode(images, frame_ms=100) == encode(images.copy(), frame_ms=100)
