"""One photograph's pixels: decoded, cut to a square, and made small.

The cut: boxes of cars are wider than tall, but images are square, and simple ways to a square fail:

- Squeezing the box into a square makes every car narrow, a side view to half its width.
- Cutting out the middle of the box takes the ends off every car.
- The generator would learn to draw bars that were put above and below the box.

So the square is as long as the box's longer side plus the margin, and the photograph itself fills
it: road below, sky above. A square that would leave the photograph is moved into it. If the
photograph is too short for the square, the square becomes a rectangle as short as the photograph,
which is squeezed: the whole car is always in the image. A photograph without a box gives its middle
square.
"""

import io
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from training.data import parquet
from training.data.layout import Box, Images, Photo

Region = tuple[float, float, float, float]
"""A region's left, top, right and bottom, as coordinates between pixels."""
DETAIL = 1.5
"""The decoded pixels for each pixel of the image, along a side, that a reduced decoding (a half, a
quarter or an eighth) of a JPEG must leave."""
ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Prepared(NamedTuple):
    """A prepared photograph: its pixels, or the reason why it was skipped."""

    pixels: Images | None
    """The pixels, uint8 [size, size, 3], RGB; None if the file was skipped."""
    kinds: tuple[str, ...] = ()
    """The unusual features of the file that were dealt with: greyscale, CMYK, palette, ..."""
    fault: str = ""
    """The reason why the file was skipped; empty if it was not."""


class Unusable(Exception):
    """A photograph can be read, but gives no image."""


def prepare(photo: Photo, size: int, crop_margin: float) -> Prepared:
    """Return the photograph as uint8 [size, size, 3], or the reason why it is skipped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of unusual files that it can read
            return _read(photo, size, crop_margin)
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        return Prepared(None, fault=f"{type(error).__name__}: {error}")


def cut(box: Box | None, width: int, height: int, crop_margin: float) -> Region:
    """Return the region that is cut out of a photograph of ``width`` x ``height`` pixels.

    The module's docstring says which region that is.

    Raises:
        Unusable: the box is empty, or lies outside the photograph.
    """
    if box is None:
        side = float(min(width, height))
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)
    left, right = max(box[0], 0), min(box[2], width)
    top, bottom = max(box[1], 0), min(box[3], height)
    if left >= right or top >= bottom:
        raise Unusable(f"no part of the box {box} lies in its {width}x{height} pixels")
    side = max(right - left, bottom - top) * (1 + 2 * crop_margin)
    columns, rows = _span(left, right, side, width), _span(top, bottom, side, height)
    return (columns[0], rows[0], columns[1], rows[1])


def _span(start: float, end: float, length: float, limit: int) -> tuple[float, float]:
    """Return a span of ``length`` around the middle of ``start`` to ``end``, within 0 to limit."""
    length = min(length, limit)
    first = min(max((start + end - length) / 2, 0), limit - length)
    return first, first + length


def _read(photo: Photo, size: int, crop_margin: float) -> Prepared:
    with Image.open(_content(photo)) as image:
        region = cut(photo.box, *image.size, crop_margin)
        kinds = _kinds(image)
        region = _decode_small(image, region, size)
        image.load()
        way_up = image.getexif().get(ORIENTATION)
        rgb = _to_rgb(image)
    bicubic = Image.Resampling.BICUBIC
    small = rgb.resize((size, size), bicubic, box=region, reducing_gap=3.0)
    if way_up in UPRIGHT:  # a box counts pixels as stored, and turning a small image is cheap
        small = small.transpose(UPRIGHT[way_up])
        kinds.append("rotated by EXIF")
    return Prepared(np.asarray(small), tuple(kinds))


def _content(photo: Photo) -> Path | io.BytesIO:
    """Return the photograph's file, or its content in a Parquet file.

    Raises:
        Unusable: it is a pipe or the like, whose opening would wait for its other end.
    """
    mode = photo.file.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Unusable("it is a pipe, a socket or a device")
    if photo.row is None:
        return photo.file
    return io.BytesIO(parquet.image(photo.file, photo.row))


def _decode_small(image: Image.Image, region: Region, size: int) -> Region:
    """Let a JPEG be decoded at a reduced scale; return the ``region`` in that scale."""
    short = min(region[2] - region[0], region[3] - region[1])
    enough = min(DETAIL * size / short, 1)
    width, height = image.size
    drafted = image.draft(None, (int(width * enough), int(height * enough)))
    if drafted is None:  # the file is no JPEG
        return region
    _, (_, _, drafted_width, drafted_height) = drafted
    x, y = drafted_width / width, drafted_height / height
    return (region[0] * x, region[1] * y, region[2] * x, region[3] * y)


def _kinds(image: Image.Image) -> list[str]:
    """Return the unusual features of a file that was opened."""
    names = {"1": "greyscale", "L": "greyscale", "LA": "greyscale", "CMYK": "CMYK"}
    names |= {"P": "palette", "PA": "palette", "I": "16-bit"}
    kinds = [names.get(image.mode.partition(";")[0], "")]
    if image.has_transparency_data:
        kinds.append("transparent")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        kinds.append("animated, its first picture taken")
    return [kind for kind in kinds if kind]


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB, with white behind its transparent parts.

    Raises:
        Unusable: the image's numbers have no known range.
    """
    if image.mode == "F":
        raise Unusable("its pixels are floating-point numbers of an unknown range")
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255 instead of scaling them
        high = np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8)
        return Image.fromarray(high).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
