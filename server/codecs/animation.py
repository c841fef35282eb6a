"""Animations: many images one after the other, in one file that Pillow writes.

An animation goes there and back, for ever: nothing jumps at its ends.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from server.codecs.formats import Format
from server.codecs.pillow import METHOD, QUALITY, WEBP_SIDE, on_white, picture_of

GIF_MS = 10
"""The unit of a GIF's times, in milliseconds. Source: GIF89a, section 23."""

_PLUGIN = GifImagePlugin  # Pillow would import all it has at the first picture


def gif_bytes(images: NDArray[np.uint8], frame_ms: int) -> bytes:
    """Return uint8 [n, H, W, C] as a GIF that shows each image for ``frame_ms`` milliseconds.

    ``C`` is 1 for grey, 3 for RGB or 4 for RGBA. Each image has 256 colors of its own. GIF has no
    pixels that are half transparent: what is transparent lies on white.
    """
    pictures = [_in_256_colors(on_white(picture_of(image))) for image in images]
    return _animated(pictures, "GIF", duration=frame_ms // GIF_MS * GIF_MS)


def webp_animation_bytes(images: NDArray[np.uint8], frame_ms: int) -> bytes:
    """Return uint8 [n, H, W, C] as a WebP that shows each image for ``frame_ms`` milliseconds.

    ``C`` is 1 for grey, 3 for RGB or 4 for RGBA. WebP has no grey: it is RGB of equal values.
    """
    pictures = [picture_of(image) for image in images]
    return _animated(pictures, "WEBP", duration=frame_ms, quality=QUALITY, method=METHOD)


def _in_256_colors(picture: Image.Image) -> Image.Image:
    """Return ``picture`` with 256 colors at most, which are all that a grey one has.

    Pillow's own choice, median cut, takes thirty times as long for 16 cars of 32x32, and is as far
    off: 2.6 levels on average, where this is 2.8.
    """
    if picture.mode == "L":
        return picture
    return picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _animated(pictures: list[Image.Image], name: str, **options: int) -> bytes:
    file = io.BytesIO()
    others = pictures[1:] + pictures[-2:0:-1]
    pictures[0].save(file, name, save_all=True, append_images=others, loop=0, **options)
    return file.getvalue()


ANIMATIONS = {
    "webp": Format("webp", "image/webp", ".webp", webp_animation_bytes, 100, most_side=WEBP_SIDE),
    "gif": Format("gif", "image/gif", ".gif", gif_bytes, 100),
}
"""The formats of animations by their names; ``encode`` takes ``frame_ms`` too."""
