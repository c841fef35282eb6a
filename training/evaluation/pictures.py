"""The page's pictures: grids of images as PNG, each inside the page itself."""

import base64
import io
from html import escape

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Nearest, mirrored
from training.samples import grid

Images = NDArray[np.uint8]


def picture(images: Images, columns: int, words: str) -> str:
    """Return uint8 images [N, size, size, 3] as an ``img`` with its PNG, described by ``words``."""
    file = io.BytesIO()
    sheet = grid(images, columns)
    sheet.save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{sheet.width}" height="{sheet.height}"'
    return f'<img src="data:image/png;base64,{data}" {size} alt="{escape(words)}"/>'


def beside_nearest(
    generated: Images, photographs: Images, found: Nearest, chosen: NDArray[np.int64], columns: int
) -> Images:
    """Return the ``chosen`` generated images, and below each row the photographs nearest to them.

    ``chosen`` is int64 [N], N a multiple of ``columns``. A photograph that is nearer when mirrored
    is mirrored.
    """
    straight = photographs[found.index[chosen]]
    flipped = found.flipped[chosen][:, None, None, None]
    nearest = np.where(flipped, mirrored(straight), straight)
    shape = (-1, columns, *generated.shape[1:])
    rows = np.stack([generated[chosen].reshape(shape), nearest.reshape(shape)], axis=1)
    return rows.reshape(-1, *generated.shape[1:])
