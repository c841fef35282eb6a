"""The tensor ``class`` of the Open Inference Protocol v2: the class of each row of latents.

Nothing here knows of HTTP: a tensor is the same whatever carries it.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidRequest, Words

CLASS = "class"
"""The name of the input; a model without classes has none."""
INT64, INT32 = "INT64", "INT32"
"""The datatype that metadata tell, and the other one that is taken."""
DTYPES: "dict[str, np.dtype[Any]]" = {INT64: np.dtype("<i8"), INT32: np.dtype("<i4")}
"""The datatypes of the input as NumPy has them."""


def check_classes(datatype: object, shape: object, rows: int) -> "np.dtype[Any]":
    """Return the type of the numbers of a tensor of that type and shape, beside ``rows`` latents.

    Raises:
        InvalidRequest: the type is no INT64 or INT32, or the shape is neither [rows, 1] nor [rows].
    """
    dtype = DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise InvalidRequest("datatype of class", datatype, " or ".join(DTYPES))
    sizes = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else None
    if sizes not in ([rows, 1], [rows]) or any(type(size) is not int for size in sizes):
        wanted = f"[{rows}, 1] or [{rows}], a class for each row of latents"
        raise InvalidRequest("shape of class", shape, wanted)
    return dtype


def classes_from_bytes(
    data: bytes | memoryview, dtype: "np.dtype[Any]"
) -> NDArray[np.integer[Any]]:
    """Return the classes [rows] whose numbers ``data`` has, little-endian; the array is no copy."""
    return np.frombuffer(data, dtype)


def classes_from_json(data: object, rows: int) -> NDArray[np.int64]:
    """Return the classes int64 [rows] that parsed JSON has as ``data``, flat or nested.

    Raises:
        InvalidRequest: that is no list of so many whole numbers.
    """
    if type(data) is not list:
        raise InvalidRequest("data of class", data, "a list of whole numbers")
    nested = all(type(row) is list and len(row) == 1 for row in data)
    numbers = list(chain.from_iterable(data)) if nested else data
    if len(numbers) != rows:
        told = Words(f"{len(numbers)} numbers")
        raise InvalidRequest("data of class", told, f"{rows}, as the shape has it")
    for number in numbers:
        if type(number) is not int or not -(2**63) <= number < 2**63:
            raise InvalidRequest("data of class", number, "whole numbers alone")
    return np.array(numbers, np.int64)
