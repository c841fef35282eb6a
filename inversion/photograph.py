"""A photograph as the search wants it: cut as the training cuts, with what is hidden told apart.

A photograph without a box gives its middle part, as large as may be, made as small as the model's
images (see ``training.data.prepare``). What is transparent, or white in a mask, is hidden: nothing
is known of it.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 32_000_000
"""The pixels of a photograph at most: what takes a second to decode."""
LEAST_SIDE = 2
ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""
LAST_UPRIGHT = 4
"""The last of its values with which a photograph's rows are rows; after it they are columns."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's modes of photographs by the channels of the images that are to be like them."""
DETAIL = 1.5
"""The decoded pixels for each pixel of the image, along a side, that a reduced decoding of a JPEG
leaves, as in ``training.data.prepare``."""
LEAST_SHOWN = 0.01
"""The part of a photograph that has to be seen: of less, any image is as near as another."""

Pixels = NDArray[np.uint8]


class PhotographRefused(ValueError):
    """A photograph or a mask that cannot be used; ``field`` says which of the two."""

    def __init__(self, field: str, found: str, wanted: str) -> None:
        super().__init__(f"{field} is {found}; wanted {wanted}")
        self.field, self.found, self.wanted = field, found, wanted


@dataclass(frozen=True)
class Photograph:
    """A photograph of the size of the model's images."""

    pixels: Pixels
    """uint8 [height, width, channels]."""
    shown: NDArray[np.float32]
    """How much of each pixel is seen, from 0 to 1: float32 [height, width, 1]."""

    @property
    def values(self) -> NDArray[np.float32]:
        """The pixels in the range of float images, [-1, 1]."""
        values: NDArray[np.float32] = self.pixels.astype(np.float32) / np.float32(127.5) - 1
        return values

    def distance(self, image: NDArray[np.float32]) -> float:
        """Return how far ``image`` is off where the photograph is seen: grey levels, on average."""
        off = self.shown * np.abs(image - self.values)
        return float(127.5 * off.sum() / (self.shown.sum() * self.pixels.shape[2]))

    def filled(self, image: NDArray[np.float32]) -> Pixels:
        """Return the photograph with what is hidden taken from ``image``, float32 in [-1, 1]."""
        mixed = self.shown * self.values + (1 - self.shown) * image
        return to_bytes(mixed)


def to_bytes(image: NDArray[np.float32]) -> Pixels:
    """Return a float image as the uint8 head of the graph rounds it."""
    levels = (image + np.float32(1)) * np.float32(127.5)
    pixels: Pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return pixels


def read_photograph(content: bytes, shape: Sequence[int], mask: bytes | None = None) -> Photograph:
    """Return the photograph in the file ``content``, made as images [height, width, channels] are.

    ``mask`` is another file of the same size, white where the photograph is to be filled in.

    Raises:
        PhotographRefused: one of them is no picture that is read, or everything is hidden.
    """
    height, width, channels = shape
    mode = MODES[channels]
    with _opened("photo", content) as image:
        if mask is None and not image.has_transparency_data:
            picture, alpha = _plain(image, mode, (width, height)), None
        else:
            picture, alpha = _with_alpha(image, mask, mode, (width, height))
    pixels = np.asarray(picture).reshape(height, width, channels)
    shown = np.ones((height, width, 1), np.float32)
    if alpha is not None:
        shown = (np.asarray(alpha, np.float32) / np.float32(255))[:, :, np.newaxis]
    if shown.mean() < LEAST_SHOWN:
        raise PhotographRefused("photo", "hidden as a whole", "some of it to be seen")
    return Photograph(pixels, shown)


def _opened(field: str, content: bytes) -> Image.Image:
    """Return the picture in ``content``, of which only the head is read yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which are refused below
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        raise PhotographRefused(field, f"{len(content)} bytes", "a PNG, JPEG or WebP") from error
    if image.width * image.height > MOST_PIXELS or min(image.size) < LEAST_SIDE:
        size = f"{image.width} x {image.height} pixels"
        raise PhotographRefused(
            field, size, f"at least {LEAST_SIDE} a side, and at most {MOST_PIXELS:,} in all"
        )
    return image


def _middle(size: tuple[int, int], aspect: float) -> tuple[float, float, float, float]:
    """Return the largest region of ``aspect``, its width by its height, in the middle."""
    width, height = size
    cut_width, cut_height = min(width, height * aspect), min(height, width / aspect)
    left, top = (width - cut_width) / 2, (height - cut_height) / 2
    return (left, top, left + cut_width, top + cut_height)


def _draft(
    image: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Let a JPEG be decoded at a reduced scale; return the ``box`` in that scale."""
    enough = min(1.0, DETAIL * max(size) / min(box[2] - box[0], box[3] - box[1]))
    width, height = image.size
    drafted = image.draft(None, (int(width * enough), int(height * enough)))
    if drafted is None:  # the file is no JPEG
        return box
    x, y = drafted[1][2] / width, drafted[1][3] / height
    return (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def _plain(image: Image.Image, mode: str, size: tuple[int, int]) -> Image.Image:
    """Return the middle of ``image``, of which all is seen, in ``mode`` and of ``size``, upright.

    Turning a small image is cheap; until then a photograph that lies has its sides exchanged.
    """
    try:
        lies = image.getexif().get(ORIENTATION, 1) > LAST_UPRIGHT
        stored = (size[1], size[0]) if lies else size
        box = _draft(image, _middle(image.size, stored[0] / stored[1]), stored)
        image.load()
        plain = _in_mode(image, mode)
    except Exception as error:
        raise PhotographRefused("photo", "damaged", "a whole PNG, JPEG or WebP") from error
    bicubic = Image.Resampling.BICUBIC
    return ImageOps.exif_transpose(plain.resize(stored, bicubic, box=box, reducing_gap=3.0))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255 instead of scaling them
        high = np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8)
        image = Image.fromarray(high)
    return image.convert(mode)


def _with_alpha(
    image: Image.Image, mask: bytes | None, mode: str, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """Return ``image`` in ``mode`` and of ``size``, and how much of each pixel is seen, 0 to 255.

    What is hidden has no part in the colors of what is seen beside it.
    """
    try:
        image.load()
        whole = ImageOps.exif_transpose(_in_mode(image, "RGBA"))
    except Exception as error:
        raise PhotographRefused("photo", "damaged", "a whole PNG, JPEG or WebP") from error
    if mask is not None:
        with _opened("mask", mask) as second:
            if second.size != whole.size:
                found = f"{second.width} x {second.height} pixels"
                raise PhotographRefused("mask", found, f"{whole.width} x {whole.height}")
            try:
                hidden = second.convert("L")
            except Exception as error:
                raise PhotographRefused("mask", "damaged", "a whole picture") from error
        alpha = ImageChops.multiply(whole.getchannel("A"), ImageChops.invert(hidden))
        whole.putalpha(alpha)
    box = _middle(whole.size, size[0] / size[1])
    small = whole.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return small.convert("RGB").convert(mode), small.getchannel("A")
