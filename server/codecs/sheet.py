"""Sheets: many images side by side in one picture."""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray


def sheet_size(n: int, height: int, width: int, columns: int = 0) -> tuple[int, int]:
    """Return the height and the width in pixels of a sheet of ``n`` images.

    ``columns`` images are side by side; 0 stands for ``ceil(sqrt(n))``.
    """
    columns = columns or ceil(sqrt(n))
    return -(-n // columns) * height, columns * width


def contact_sheet(images: NDArray[np.uint8], columns: int = 0) -> NDArray[np.uint8]:
    """Return uint8 [n, H, W, C] side by side, row by row: uint8 [rows * H, columns * W, C].

    ``columns`` is as in ``sheet_size``. What is left after the last image is black, and of RGBA
    transparent.
    """
    n, height, width, channels = images.shape
    if n == 1:
        image: NDArray[np.uint8] = images[0]
        return image
    sheet_height, sheet_width = sheet_size(n, height, width, columns)
    rows, columns = sheet_height // height, sheet_width // width
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return sheet.reshape(sheet_height, sheet_width, channels)
