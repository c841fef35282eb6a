"""Colour: the tint and the contrast of a set of images, which the Wasserstein distance ignores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Colour:
    """The mean and the standard deviation, 0 to 255, of each channel over all pixels of a set."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def difference(self, other: "Colour") -> float:
        """Return the largest difference of a mean or a deviation, in grey levels."""
        pairs = zip(self.mean + self.deviation, other.mean + other.deviation, strict=True)
        return max(abs(one - two) for one, two in pairs)


def colour(images: NDArray[np.uint8]) -> Colour:
    """Return the colour statistics of uint8 images [N, size, size, C]."""
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    shares = np.array(counts) / counts[0].sum()  # [C, 256]
    levels = np.arange(256)
    mean = shares @ levels
    deviation = np.sqrt(shares @ levels**2 - mean**2)
    return Colour(tuple(mean.tolist()), tuple(deviation.tolist()))
