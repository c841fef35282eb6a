"""How far images are off a photograph, and the gradient of that with respect to the images.

Only what is seen of the photograph counts. A loss is a mean over what is seen, of squares of
differences in [-1, 1], for each image by itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from inversion.photograph import Photograph

Floats = NDArray[np.float32]
Loss = Callable[[Floats], tuple[Floats, Floats]]
"""The function from images float32 [n, H, W, C] to the loss of each [n] and its gradient with
respect to the images [n, H, W, C], the cotangents."""


def pixel_loss(photograph: Photograph) -> Loss:
    """Return the loss that compares each pixel with the photograph's."""
    return _of_levels(photograph, (1,))


def pyramid_loss(photograph: Photograph) -> Loss:
    """Return the loss that compares pixels, and the means of squares of 2, 4 and 8 of them.

    It follows the shape of a car where its edges are a pixel off.
    """
    height, width, _ = photograph.pixels.shape
    sizes = [size for size in (1, 2, 4, 8) if not height % size and not width % size]
    return _of_levels(photograph, sizes)


LOSSES: dict[str, Callable[[Photograph], Loss]] = {"pixel": pixel_loss, "pyramid": pyramid_loss}


def _of_levels(photograph: Photograph, sizes: Sequence[int]) -> Loss:
    wanted, weights = photograph.values, photograph.shown
    seen = np.float32(weights.sum() * wanted.shape[2])

    def loss(images: Floats) -> tuple[Floats, Floats]:
        off = weights * (images - wanted)
        losses = np.zeros(len(images), np.float32)
        slopes = np.zeros_like(off)
        for size in sizes:
            means = _pooled(off, size)
            scale = np.float32(size * size / (seen * len(sizes)))
            losses += scale * np.square(means).sum(axis=(1, 2, 3))
            slopes += (2 * scale / (size * size)) * _spread(means, size)
        return losses, weights * slopes

    return loss


def _pooled(values: Floats, size: int) -> Floats:
    """Return the means of squares of ``size`` by ``size`` values."""
    if size == 1:
        return values
    n, height, width, channels = values.shape
    squares = values.reshape(n, height // size, size, width // size, size, channels)
    means: Floats = squares.mean(axis=(2, 4))
    return means


def _spread(means: Floats, size: int) -> Floats:
    """Return each of ``means`` at all the places that it is the mean of."""
    return means if size == 1 else means.repeat(size, axis=1).repeat(size, axis=2)
