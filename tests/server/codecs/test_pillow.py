"""What Pillow writes is the image, as far as a lossy format goes, in the colors of the model."""

import io

import numpy as np
import pytest
from PIL import Image

from server.codecs.pillow import jpeg_bytes, lanczos, webp_bytes

ENCODERS = {"JPEG": jpeg_bytes, "WEBP": webp_bytes}


def smooth(n, height, width, channels):
    """Images without detail, of which a lossy format leaves nearly all."""
    y, x = np.mgrid[0:height, 0:width]
    values = 40 + (y * 90 // height)[..., None] + (x * 60 // width)[..., None] * np.arange(channels)
    return np.stack([np.clip(values + 5 * i, 0, 255).astype(np.uint8) for i in range(n)])


def decoded(file, name):
    image = Image.open(io.BytesIO(file), formats=[name])
    return image.mode, np.asarray(image).reshape(image.height, image.width, -1)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(
    ("name", "channels", "mode"),
    [
        ("JPEG", 1, "L"),
        ("JPEG", 3, "RGB"),
        ("WEBP", 1, "RGB"),
        ("WEBP", 3, "RGB"),
        ("WEBP", 4, "RGBA"),
    ],
)
def test_picture_is_nearly_what_was_drawn(name, channels, mode, n):
    images = smooth(n, 20, 24, channels)
    found_mode, found = decoded(ENCODERS[name](images), name)
    assert found_mode == mode
    assert found.shape[:2] == ((20, 24) if n == 1 else (40, 48))
    assert np.abs(found[:20, :24].astype(int) - images[0]).mean() < 3, "of 256 levels"
    assert np.abs(found[-20:, -24:].astype(int) - images[-1]).mean() < 3


def test_transparent_pixels_are_white_in_a_jpeg():
    images = np.zeros((1, 16, 16, 4), np.uint8)
    images[:, :8] = [200, 0, 0, 255]
    mode, found = decoded(jpeg_bytes(images), "JPEG")
    assert mode == "RGB"
    assert np.abs(found[:6].astype(int) - [200, 0, 0]).max() < 12
    assert found[10:].min() > 243


def test_rest_of_a_sheet_of_rgba_is_white_in_a_jpeg_and_transparent_in_a_webp():
    images = np.full((3, 16, 16, 4), 255, np.uint8)
    images[..., :3] = 90
    assert decoded(jpeg_bytes(images), "JPEG")[1][20:, 20:].min() > 243
    assert not decoded(webp_bytes(images), "WEBP")[1][20:, 20:, 3].any()


@pytest.mark.parametrize("encode", ENCODERS.values())
def test_same_images_are_the_same_bytes(encode):
    images = smooth(5, 20, 24, 3)
    assert encode(images) == encode(images.copy())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_enlarged_by_themselves(channels):
    """Nothing of one image is in another, and the middle of a plain one stays as it is."""
    images = np.zeros((2, 4, 6, channels), np.uint8)
    images[1] = 200
    large = lanczos(images, 3)
    assert large.shape == (2, 12, 18, channels)
    assert not large[0].any()
    assert (large[1] == 200).all()


def test_enlarged_image_has_values_between_its_own():
    images = np.zeros((1, 4, 4, 1), np.uint8)
    images[:, :, 2:] = 200
    assert len(np.unique(lanczos(images, 4))) > 4
