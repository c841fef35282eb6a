"""Where the images of a data set come from: what both a bundle and servers can do."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carfront.datasets.index import Lineage


class Source(Protocol):
    """Draws images by their seeds; ``draw`` may be called by several threads."""

    lineage: Lineage
    shape: tuple[int, int, int]
    """The height, the width and the number of channels of an image."""
    parallel: int
    """The threads that are worth having."""
    block: int
    """The images that are best drawn, encoded and written at a time."""

    def draw(self, seeds: range) -> NDArray[np.uint8]:
        """Return the images of ``seeds`` as uint8 [n, height, width, channels].

        Raises:
            CarfrontError: they cannot be drawn.
        """

    def close(self) -> None:
        """End what is being drawn, as soon as that can be."""
