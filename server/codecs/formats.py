"""The formats in which callers get images: the table of their names."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.codecs.archive import npy_bytes
from server.codecs.png import png_bytes


class Format(NamedTuple):
    """One way to write images down."""

    name: str
    """The format's name, for callers and in ``/metrics``."""
    mimetype: str
    suffix: str
    """How the name of a file of this format ends."""
    encode: Callable[[NDArray[np.uint8]], bytes]
    """Takes uint8 [n, H, W, 3]."""


FORMATS = {
    each.name: each
    for each in (
        Format("png", "image/png", ".png", png_bytes),
        Format("npy", "application/x-npy", ".npy", npy_bytes),
    )
}
"""The formats by their names."""
