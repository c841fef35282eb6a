"""Tensors of the Open Inference Protocol v2: what callers send becomes arrays, and images numbers.

Nothing here knows of HTTP: a tensor is the same whatever carries it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from server.api.sources import finite_rows
from server.codecs.formats import Format
from server.errors import InvalidRequest

LATENTS, IMAGES, IMAGES_FLOAT = "latents", "images", "images_float"
"""The names of the input, of the output, and of the output that another graph draws."""
FP32, UINT8 = "FP32", "UINT8"
NUMBER_BYTES = 4
"""The bytes of one number of the input."""
PIECE = 2**18
"""The bytes that are written as JSON at a time: other threads wait for some milliseconds."""
FLOAT_PIECE = 2**15
"""The floats that are written as JSON at a time: each takes twice as long as a byte, or more."""


@dataclass(frozen=True, slots=True)
class LatentsShape:
    """What a model takes: 1 to ``most_rows`` rows of ``latent_dim`` numbers."""

    latent_dim: int
    most_rows: int

    @property
    def row_bytes(self) -> int:
        """The bytes of one row in binary."""
        return NUMBER_BYTES * self.latent_dim

    def check_tensor(self, datatype: object, shape: object) -> int:
        """Return the number of rows of a tensor of that type and shape.

        Raises:
            InvalidRequest: the type is not FP32, or the shape is not [n, latent_dim].
        """
        if datatype != FP32 or type(datatype) is not str:
            raise InvalidRequest("datatype of latents", datatype, FP32)
        if (
            not isinstance(shape, Sequence)
            or len(shape) != 2
            or any(type(size) is not int for size in shape)
            or shape[1] != self.latent_dim
        ):
            raise InvalidRequest("shape of latents", shape, f"[n, {self.latent_dim}]")
        return self.check_rows(shape[0])

    def check_rows(self, rows: int) -> int:
        """Return ``rows``, if the model takes so many.

        Raises:
            InvalidRequest: there are none, or too many.
        """
        if not 1 <= rows <= self.most_rows:
            raise InvalidRequest("rows of latents", rows, f"from 1 to {self.most_rows}")
        return rows


def latents_from_bytes(data: bytes | memoryview, rows: int, latent_dim: int) -> NDArray[np.float32]:
    """Return the latents float32 [rows, latent_dim] whose numbers ``data`` has, little-endian.

    ``data`` has as many bytes as that takes. The array is no copy, and need not be aligned.

    Raises:
        InvalidRequest: a number is not finite.
    """
    latents = np.frombuffer(data, "<f4").reshape(rows, latent_dim)
    return finite_rows(latents.astype(np.float32, copy=False))


def latents_from_json(data: object, rows: int, latent_dim: int) -> NDArray[np.float32]:
    """Return the latents float32 [rows, latent_dim] that parsed JSON has as ``data``.

    The numbers are nested as the shape has it, or flat, row by row.

    Raises:
        InvalidRequest: that is no list of so many numbers, or one is beyond float32.
    """
    if type(data) is not list:
        raise InvalidRequest("data of latents", data, "a list of numbers")
    numbers = _flat(data, rows, latent_dim)
    if len(numbers) != rows * latent_dim:
        raise InvalidRequest(
            "length of data of latents", len(numbers), f"{rows * latent_dim}, as the shape has it"
        )
    others = set(map(type, numbers)) - {float, int}
    if others:
        other = next(x for x in numbers if type(x) in others)
        raise InvalidRequest("data of latents", other, "numbers alone")
    with np.errstate(over="ignore"):  # to infinity, which is refused
        latents = np.array(numbers, np.float32)
    return finite_rows(latents.reshape(rows, latent_dim))


def _flat(data: list[Any], rows: int, latent_dim: int) -> list[Any]:
    """Return the numbers of ``data``, which is flat, or nested as [rows, latent_dim]."""
    if not data or type(data[0]) is not list:
        return data
    if len(data) != rows:
        raise InvalidRequest("length of data of latents", len(data), f"{rows} rows")
    for row in data:
        if type(row) is not list or len(row) != latent_dim:
            raise InvalidRequest("data of latents", row, f"lists of {latent_dim} numbers each")
    return list(chain.from_iterable(data))


def json_numbers(images: NDArray[Any]) -> bytes:
    """Return ``images``, uint8 or float32, as a flat JSON list of their numbers, row-major.

    A float is written with as few digits as read back to the same float32.
    """
    return _json_list(images.reshape(-1), PIECE if images.dtype == np.uint8 else FLOAT_PIECE)


def json_rows(images: NDArray[np.float32]) -> bytes:
    """Return float ``images`` [n, H, W, C] as JSON that is nested as their shape."""
    return _json_list(images, max(1, FLOAT_PIECE // max(1, images[0].size)))


def _json_list(values: NDArray[Any], length: int) -> bytes:
    """Return ``values`` as a JSON list, of which so many elements are written at a time."""
    pieces = (values[start : start + length] for start in range(0, len(values), length))
    written = [orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY) for piece in pieces]
    if len(written) == 1:
        return written[0]
    return b"[" + b",".join(piece[1:-1] for piece in written) + b"]"


def packed_numbers(images: NDArray[Any]) -> bytes:
    """Return ``images`` as the bytes of their numbers, row-major."""
    return images.tobytes()


JSON = Format("json", "application/json", ".json", json_numbers)
BINARY = Format("binary", "application/octet-stream", ".bin", packed_numbers)
FLOAT_WEIGHT = 8
"""How much longer floats take as JSON than images as a PNG, roughly."""
FLOAT_JSON = JSON._replace(name="float_json", weight=FLOAT_WEIGHT, of_floats=True)
FLOAT_BINARY = BINARY._replace(name="float_binary", of_floats=True)
FLOAT_ROWS = FLOAT_JSON._replace(encode=json_rows)


class Output(NamedTuple):
    """An output of the models, and the formats in which it can be had."""

    datatype: str
    json: Format
    """The format of its numbers in JSON."""
    binary: Format
    """The format of its numbers as bytes."""


OUTPUTS = {
    IMAGES: Output(UINT8, JSON, BINARY),
    IMAGES_FLOAT: Output(FP32, FLOAT_JSON, FLOAT_BINARY),
}
"""The outputs that can be asked for, by their names."""
