"""The numbers in a .npy file that a caller sends, read strictly: nothing is ever unpickled.

Source: NumPy's NEP 1, and ``numpy.lib.format``.
"""

import re
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
"""The bytes of the header's length, by the version of the format."""
LONGEST_HEADER = 1024
"""The most bytes of a header: NumPy writes 118 for any array without fields."""
TYPES = ("<f2", "<f4", "<f8")
"""The types of numbers that are read: float16, float32, float64, little-endian."""
VALUE = r"""'[^'\\]*'|"[^"\\]*"|True|False|\([0-9, ]*\)"""
MEMBER = rf"""\s*['"](descr|fortran_order|shape)['"]\s*:\s*({VALUE})\s*"""
HEADER = re.compile(rf"\{{({MEMBER},){{2}}{MEMBER},?\s*\}}\s*").fullmatch
"""The match of a header, which is a Python dictionary; Python itself is not asked to read it."""


class NpyError(ValueError):
    """A .npy file is not read: it is as ``found`` says, and not as ``wanted``."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"{found}; wanted {wanted}")
        self.found = found
        self.wanted = wanted


def read_npy(data: bytes, most: int) -> NDArray[Any]:
    """Return the numbers in a .npy file, [n, width], n being 1 to ``most``; not a copy of ``data``.

    Raises:
        NpyError: the file is none that is read here.
    """
    header, start = _header(data)
    kind, shape = header["descr"].strip("'\""), _shape(header["shape"])
    if kind not in TYPES:
        raise NpyError(f"a .npy file of type {kind!r}", f"one of {', '.join(map(repr, TYPES))}")
    if header["fortran_order"] != "False":
        raise NpyError("a .npy file in Fortran's order", "one in C's: row after row")
    if len(shape) != 2 or not shape[1]:
        raise NpyError(f"a .npy file of shape {shape}", "(n, latent_dim)")
    if not 1 <= shape[0] <= most:
        raise NpyError(f"a .npy file of {shape[0]} rows", f"1 to {most}")
    values, size = prod(shape), len(data) - start
    if size != values * np.dtype(kind).itemsize:
        wanted = f"{values * np.dtype(kind).itemsize}, as its shape {shape} says"
        raise NpyError(f"a .npy file with {size} bytes behind its header", wanted)
    return np.frombuffer(data, kind, values, start).reshape(shape)


def _header(data: bytes) -> tuple[dict[str, str], int]:
    """Return the members of a file's header as they are written, and where the numbers begin."""
    length_bytes = LENGTH_BYTES.get(data[6:8])
    if not data.startswith(MAGIC) or length_bytes is None:
        raise NpyError(f"{len(data)} bytes that begin with {data[:8]!r}", "a .npy file")
    start = len(MAGIC) + 2 + length_bytes
    length = int.from_bytes(data[8:start], "little")
    if length > LONGEST_HEADER:
        raise NpyError(f"a .npy file with a header of {length} bytes", f"at most {LONGEST_HEADER}")
    text = data[start : start + length].decode("latin-1")
    members = dict(re.findall(MEMBER, text)) if HEADER(text) else {}
    if len(members) < 3 or len(text) < length:
        raise NpyError(
            "a .npy file whose header is no array's", "descr, fortran_order and shape in it"
        )
    return members, start + length


def _shape(text: str) -> tuple[int, ...]:
    """Return the shape that ``text`` writes, an empty one if it is malformed."""
    try:
        return tuple(int(x) for x in text[1:-1].split(",") if x.strip(" "))
    except ValueError:
        return ()
