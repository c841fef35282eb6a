"""What is asked of an image besides its seed."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from server.codecs.enlarge import FILTERS
from server.codecs.formats import FORMATS, Format
from server.codecs.sheet import contact_sheet, sheet_size
from server.errors import InvalidRequest
from server.ipc.sources import Source

MOST_PIXELS = 2**22
"""The pixels of an answer whose images are enlarged, at most: 2,048 x 2,048. The pixels of others
are limited by the arena."""


@dataclass(frozen=True)
class ImageParameters:
    """What decides about the bytes of an answer besides the bundle, its plan and the seeds.

    Every field is part of the images' entity tags.
    """

    format: str = "png"
    """One of ``FORMATS``."""
    scale: int = 1
    """How many times as high and wide the images are as the model draws them."""
    filter: str = "nearest"
    """One of ``FILTERS``, by which the images are enlarged."""
    columns: int = 0
    """How many images are side by side in a sheet; 0 makes it about as high as wide."""

    @cached_property
    def tag(self) -> str:
        """The part of an entity tag that has every field."""
        return "/".join(map(str, astuple(self)))

    @property
    def file_format(self) -> Format:
        """The format, which does nothing of what is asked besides."""
        return FORMATS[self.format]

    @cached_property
    def is_plain(self) -> bool:
        """Whether images go into their format as they were drawn, and in any number."""
        form = FORMATS[self.format]
        return self.scale == 1 and not (self.columns or form.names_images or form.most_side)

    def form(self, source: Source) -> Format:
        """Return the format, whose ``encode`` does with the images of ``source`` all that is asked.

        The images' scale is part of its ``weight``.
        """
        form = self.file_format
        encode = form.encode
        if form.names_images:
            encode = partial(encode, seeds=seeds_of(source))
        return form._replace(
            encode=partial(self._encode, encode), weight=form.weight * self.scale**2
        )

    def _encode(self, encode: Callable[..., bytes], images: NDArray[np.uint8]) -> bytes:
        if self.scale > 1:
            images = FILTERS[self.filter](images, self.scale)
        if self.columns:
            images = contact_sheet(images, self.columns)[np.newaxis]
        return encode(images)

    def shape(self, n: int, shape: list[int]) -> tuple[int, ...]:
        """Return the shape of what is encoded of ``n`` images [height, width, channels]."""
        height, width, channels = shape
        height, width = height * self.scale, width * self.scale
        if self.columns:
            return (1, *sheet_size(n, height, width, self.columns), channels)
        return n, height, width, channels

    def picture_size(self, n: int, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels of the picture that ``n`` images would make."""
        return sheet_size(n, height, width, self.columns)

    def check_size(self, n: int, shape: list[int]) -> None:
        """Check that an answer of ``n`` images [height, width, channels] is not too large.

        Raises:
            InvalidRequest: the images are enlarged too much, or too many for the format's sheet.
        """
        pixels, most_side = n * shape[0] * shape[1], self.file_format.most_side
        height, width = self.picture_size(n, shape[0], shape[1])
        told = f"{MOST_PIXELS} pixels"
        most = max(1, isqrt(MOST_PIXELS // pixels))
        if most_side and (most_by_side := most_side // max(height, width)) < most:
            told, most = f"{most_side} pixels in a row or column", most_by_side
        if most == 0:
            fault = ("n", n)
            if self.columns:
                fault = ("cols", self.columns) if width > height else ("rows", n // self.columns)
            raise InvalidRequest(*fault, f"fewer: {self.format} has at most {told}")
        if self.scale > most:
            raise InvalidRequest("scale", self.scale, f"at most {most}: there are at most {told}")


def seeds_of(source: Source) -> Sequence[int] | None:
    """Return the seed of each row of ``source``; None if its rows are latents."""
    seeds = source.seeds
    return seeds.tolist() if isinstance(seeds, np.ndarray) else seeds
