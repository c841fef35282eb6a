"""Sheets show every image once, row by row."""

import numpy as np
import pytest

from server.codecs.sheet import contact_sheet, sheet_size


def numbered(n, height=2, width=3, channels=3):
    """Images that are each of one value: 1, 2, ..."""
    values = np.arange(1, n + 1, dtype=np.uint8).reshape(n, 1, 1, 1)
    return np.broadcast_to(values, (n, height, width, channels))


@pytest.mark.parametrize(
    ("n", "columns", "rows"),
    [
        (5, 0, [[1, 2, 3], [4, 5, 0]]),
        (4, 0, [[1, 2], [3, 4]]),
        (4, 4, [[1, 2, 3, 4]]),
        (4, 1, [[1], [2], [3], [4]]),
        (6, 2, [[1, 2], [3, 4], [5, 6]]),
        (1, 0, [[1]]),
    ],
)
def test_sheet_has_as_many_columns_as_are_wanted_or_is_about_square(n, columns, rows):
    sheet = contact_sheet(numbered(n), columns)
    assert sheet[::2, ::3, 0].tolist() == rows
    assert sheet.shape == (*sheet_size(n, 2, 3, columns), 3)


def test_one_image_is_no_sheet():
    images = numbered(1)
    assert np.shares_memory(contact_sheet(images), images)
    assert contact_sheet(numbered(255)).shape == (32, 48, 3)
