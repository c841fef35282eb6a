"""The form of a generator's images: where their channels are, and in which range they are drawn."""

from dataclasses import dataclass
from math import isfinite, isqrt

import numpy as np
from numpy.typing import NDArray

from export.errors import SourceRefused
from export.run import CHANNELS, RANGES
from export.sources.bounds import Interval
from export.stated_range import beyond

CLOSE = 1e-3
"""How far the bounds of the last layers may be from a range, in parts of it: roundings."""


@dataclass(frozen=True)
class Layout:
    """The place of the channels in images as a generator gives them."""

    shape: tuple[int, int, int]
    """The height, the width and the number of channels."""
    has_channels: bool = True
    """Whether there is an axis of channels; grey images may lack it."""
    channels_first: bool = False


def layout_of(drawn: tuple[int, ...], asked: str | None, path: str) -> Layout:
    """Return the layout of images whose shape is ``drawn``, such as (32, 32, 3) or (28, 28).

    ``asked`` is "channels_last", "channels_first", or None for the one that fits.

    Raises:
        SourceRefused: these are no images of one, three or four channels.
    """
    if len(drawn) == 2:
        return Layout((*drawn, 1), has_channels=False)
    if len(drawn) != 3:
        raise SourceRefused(
            f"{path} gives {_told(drawn)} for a latent and no image; {_advice(drawn)}"
        )
    last = asked == "channels_last" or (asked is None and drawn[2] in CHANNELS)
    first = not last and drawn[0] in CHANNELS
    if first and asked != "channels_last":
        return Layout((drawn[1], drawn[2], drawn[0]), channels_first=True)
    if last and drawn[2] in CHANNELS:
        return Layout(drawn)
    raise SourceRefused(
        f"{path} gives images of {_told(drawn)}{f' in {asked}' if asked else ''}; wanted 1 channel "
        "(grey), 3 (RGB) or 4 (RGBA), as the last number or the first (--layout channels_first)"
    )


def _told(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _advice(shape: tuple[int, ...]) -> str:
    """Return how to make an image of ``shape``, as far as that can be guessed."""
    size = int(np.prod(shape))
    for channels in (1, 3):
        side = isqrt(size // channels)
        if side > 1 and side * side * channels == size:
            reshape = f"keras.layers.Reshape(({side}, {side}, {channels}))"
            return f"end it with {reshape}, if its images are square"
    return "end it with keras.layers.Reshape((height, width, channels))"


def range_of(
    bounds: Interval, drawn: NDArray[np.float32], asked: tuple[float, float] | None, path: str
) -> tuple[float, float]:
    """Return the range in which images are drawn: ``asked``, or what ``bounds`` say.

    ``bounds`` hold the values by the generator's last layers; ``drawn`` are some images.

    Raises:
        SourceRefused: values are not bounded to one of ``RANGES``, or are drawn outside it.
    """
    low, high = asked or _within(bounds) or (0.0, 0.0)
    darkest, lightest = float(drawn.min()), float(drawn.max())
    if not np.isfinite(drawn).all():
        raise SourceRefused(
            f"{path} draws NaN or infinite values; go back to weights from before it diverged"
        )
    if low == high:
        ends = [f"{end:g}" for end in bounds if isfinite(end)]
        held = (
            f"its last layers bound them by {' and '.join(ends)}" if ends else "nothing bounds them"
        )
        raise SourceRefused(
            f"{path} draws values from {darkest:.3g} to {lightest:.3g} and {held}; end it with "
            "keras.layers.Activation('tanh') or 'sigmoid' as it was trained, or give the range of "
            f"its images, --range {' or '.join('{:g} {:g}'.format(*x) for x in RANGES)}"
        )
    centred = (2 * drawn - np.float32(high + low)) / np.float32(high - low)
    for miss in beyond(centred, (low, high)):
        raise SourceRefused(f"{path}: {miss}")
    return low, high


def _within(bounds: Interval) -> tuple[float, float] | None:
    for low, high in RANGES:
        if max(abs(bounds[0] - low), abs(bounds[1] - high)) <= CLOSE * (high - low):
            return low, high
    return None
