"""The formats in which callers get images: the table of their names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from server.codecs import archive, pillow, png
from server.codecs.archive import InParts


class Format(NamedTuple):
    """One way to write images down."""

    name: str
    """The format's name, for callers and in ``/metrics``."""
    mimetype: str
    suffix: str
    """How the name of a file of this format ends."""
    encode: Callable[..., bytes]
    """Takes uint8 [n, H, W, C]; C is 1 for grey, 3 for RGB, 4 for RGBA. Takes the images' seeds
    too if the format ``names_images``."""
    weight: int = 1
    """How much longer than a PNG the same pixels take, roughly."""
    names_images: bool = False
    """Whether the format holds each image by itself, with its seed."""
    most_side: int = 0
    """The largest height and width in pixels; 0 where there is no limit to meet."""
    size: Callable[[tuple[int, ...]], int] | None = None
    """Returns the bytes of images [n, H, W, C] of a shape, where that is known before."""
    of_floats: bool = False
    """Whether the format is one of float images, float32 in [-1, 1], instead of uint8."""
    parts: InParts | None = None
    """How the format is written part by part; None of pictures, which are whole."""


def _in_parts(
    name: str, mimetype: str, suffix: str, parts: InParts, weight: int = 1, **more: Any
) -> Format:
    return Format(name, mimetype, suffix, parts.whole, weight, parts=parts, **more)


FORMATS = {
    each.name: each
    for each in (
        Format("png", "image/png", ".png", png.png_bytes, size=png.png_size),
        Format("jpeg", "image/jpeg", ".jpg", pillow.jpeg_bytes, 3, most_side=pillow.JPEG_SIDE),
        Format("webp", "image/webp", ".webp", pillow.webp_bytes, 26, most_side=pillow.WEBP_SIDE),
        Format(
            "npy",
            "application/x-npy",
            ".npy",
            archive.npy_bytes,
            size=archive.npy_size,
            parts=archive.NPY,
        ),
        _in_parts("tar", "application/x-tar", ".tar", archive.TAR_OF_PNGS, 4, names_images=True),
        _in_parts(
            "tar.jpg", "application/x-tar", ".tar", archive.TAR_OF_JPEGS, 16, names_images=True
        ),
        _in_parts("json", "application/json", ".json", archive.JSON, 4, names_images=True),
        _in_parts("raw", "application/octet-stream", ".bin", archive.RAW),
    )
}
"""The formats by their names, those first that are chosen where a caller takes several alike."""
ALIASES = {"jpg": "jpeg", "tar.png": "tar"}
"""Other names of formats."""
BY_SUFFIX = {FORMATS[name].suffix[1:]: name for name in ("png", "jpeg", "webp", "npy")}
"""The formats in which a URL names images, by the URL's suffix."""
