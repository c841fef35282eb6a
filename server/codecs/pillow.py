"""JPEG and WebP files, and images enlarged: what Pillow does.

What lossy encoders write depends on their versions: the same bytes come from the same ``ENCODERS``.
"""

import io

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, WebPImagePlugin, features

from server.codecs.sheet import contact_sheet

QUALITY = 90
"""The quality of JPEG and WebP files, of 100."""
METHOD = 0
"""The effort of WebP's encoder, 0 to 6. Pillow's default, 4, takes 2.4 to 3.3 times as long, for no
fewer bytes of cars; only enlarged ones are up to 14 % smaller."""
ENCODERS = " ".join(
    (PIL.__version__, *(str(features.version(x)) for x in ("libjpeg_turbo", "jpg", "webp")))
)
"""The versions of Pillow and of what it encodes with."""
JPEG_SIDE, WEBP_SIDE = 65_500, 16_383
"""The largest height and width of a picture. Source: libjpeg's JPEG_MAX_DIMENSION; WebP's RFC 9649,
section 2.5."""

_PLUGINS = JpegImagePlugin, WebPImagePlugin  # Pillow would import all it has at the first picture


def jpeg_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 [n, H, W, C] as one JPEG: the image itself, or a sheet of all of them.

    ``C`` is 1 for grey, 3 for RGB or 4 for RGBA. JPEG knows no alpha: what is transparent lies on
    white. Colors have the resolution of the image (4:4:4), as half of so small a one is little.
    """
    return _saved(on_white(picture_of(contact_sheet(images))), "JPEG", subsampling=0)


def webp_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 [n, H, W, C] as one WebP: the image itself, or a sheet of all of them.

    ``C`` is 1 for grey, 3 for RGB or 4 for RGBA. WebP has no grey: it is RGB of equal values.
    """
    return _saved(picture_of(contact_sheet(images)), "WEBP", method=METHOD)


def lanczos(images: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return uint8 [n, H, W, C] enlarged smoothly: uint8 [n, scale * H, scale * W, C]."""
    n, height, width, channels = images.shape
    large = np.empty((n, height * scale, width * scale, channels), np.uint8)
    for image, enlarged in zip(images, large, strict=True):
        resized = picture_of(image).resize(
            (width * scale, height * scale), Image.Resampling.LANCZOS
        )
        enlarged[:] = np.asarray(resized).reshape(enlarged.shape)
    return large


def picture_of(image: NDArray[np.uint8]) -> Image.Image:
    """Return uint8 [H, W, C] as Pillow has it."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def on_white(picture: Image.Image) -> Image.Image:
    """Return ``picture`` with what is transparent on white, and so without alpha."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white.convert("RGB")


def _saved(picture: Image.Image, name: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, quality=QUALITY, **options)
    return file.getvalue()
