"""Images enlarged by a whole number."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from server.codecs.pillow import lanczos

MOST = 32
"""The largest scale."""


def nearest(images: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return uint8 [n, H, W, C] with each pixel as a square: uint8 [n, scale * H, scale * W, C]."""
    n, height, width, channels = images.shape
    large = np.empty((n, height, scale, width, scale, channels), np.uint8)
    large[:] = images[:, :, None, :, None]
    return large.reshape(n, height * scale, width * scale, channels)


FILTERS: dict[str, Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]] = {
    "nearest": nearest,
    "lanczos": lanczos,
}
"""The ways to enlarge images, by their names."""
