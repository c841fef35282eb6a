"""Images as arrays of numbers: .npy files."""

import io
from functools import lru_cache

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


def npy_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return ``images`` as the bytes of a .npy file."""
    images = np.ascontiguousarray(images)
    return b"".join((_npy_header(images.shape), images.data))


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, facts)
    return header.getvalue()
