"""What is to be drawn: members of a JSON body or a file become a source."""

import secrets
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.bundle.latents import SEEDS
from server.codecs.npy_file import NpyError, read_npy
from server.errors import InvalidRequest, Words
from server.ipc.sources import Latents, SeedRange, Seeds, Source

MAX_N = 4096
"""The most images of one picture, and of a request of other protocols than our own."""
NUMBERS = {int, float}
"""The types that a number in JSON has; ``bool`` is none of them."""
A_TRUNCATION = "a number above 0, at most 1"


def source_of_json(body: dict[str, Any], most: int = MAX_N) -> Source:
    """Return what ``body`` asks to draw: ``seed`` and ``n``, or ``seeds``, or ``latents``.

    There may be ``most`` images.

    Raises:
        InvalidRequest: a member is of the wrong type or out of range, or there are two sources.
    """
    if "seeds" in body:
        _check_alone(body, "seeds", ("n", "seed", "latents"))
        return Seeds(_seeds(body["seeds"], most), _truncation(body))
    if "latents" in body:
        _check_alone(body, "latents", ("n", "seed"))
        if "truncation" in body:
            _refuse_truncation(body["truncation"])
        return Latents(finite_rows(_rows(body["latents"], most)))
    n = whole(body, "n", 1, 1, most)
    any_seed = 0 if "seed" in body else secrets.randbelow(SEEDS - n + 1)
    seed = whole(body, "seed", any_seed, 0, SEEDS - 1)
    if seed + n > SEEDS:
        raise InvalidRequest("seed", seed, f"at most {SEEDS - n}, so that {n} images follow")
    return SeedRange(seed, n, _truncation(body))


def latents_of_npy(data: bytes, most: int = MAX_N) -> Latents:
    """Return the latents in a .npy file, ``most`` rows at most.

    Raises:
        InvalidRequest: the file is none of latents, or is not read here.
    """
    try:
        numbers = read_npy(data, most)
    except NpyError as error:
        raise InvalidRequest("body", Words(error.found), error.wanted) from error
    return Latents(finite_rows(numbers))


def finite_rows(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``numbers`` [n, width] as float32.

    Raises:
        InvalidRequest: one of them is none, or none of float32.
    """
    with np.errstate(over="ignore"):
        rows = numbers.astype(np.float32, copy=False)
    finite = np.isfinite(rows)
    if not finite.all():
        i, j = divmod(int(finite.argmin()), rows.shape[1])
        raise InvalidRequest(f"latents[{i}][{j}]", numbers[i, j].item(), "a finite float32")
    return rows


def whole(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    """Return the member ``name`` of ``body``, a whole number from ``low`` to ``high``.

    Raises:
        InvalidRequest: it is another.
    """
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidRequest(name, value, f"a whole number from {low} to {high}")
    return value


def _check_alone(body: dict[str, Any], name: str, others: Collection[str]) -> None:
    for other in others:
        if other in body:
            wanted = f"{name} without it: either seed and n, or seeds, or latents"
            raise InvalidRequest(other, body[other], wanted)


def _truncation(body: dict[str, Any]) -> float:
    value = body.get("truncation", 1.0)
    if type(value) in NUMBERS and 0 < value <= 1:
        return float(value)
    raise InvalidRequest("truncation", value, A_TRUNCATION)


def _refuse_truncation(value: object) -> None:
    raise InvalidRequest("truncation", value, "none: latents are drawn as they are")


def _seeds(value: object, most: int) -> NDArray[np.uint64]:
    if type(value) is not list or not 0 < len(value) <= most:
        raise InvalidRequest("seeds", _listed(value, most), f"a list of 1 to {most} whole numbers")
    for i, seed in enumerate(value):
        if type(seed) is not int or not 0 <= seed < SEEDS:
            raise InvalidRequest(f"seeds[{i}]", seed, f"a whole number from 0 to {SEEDS - 1}")
    return np.array(value, np.uint64)


def _rows(value: object, most: int) -> NDArray[np.float64]:
    """Return the rows of numbers in ``value``, float64 [n, width]; infinity may be among them."""
    if type(value) is not list or not 0 < len(value) <= most:
        wanted = f"a list of 1 to {most} lists of numbers"
        raise InvalidRequest("latents", _listed(value, most), wanted)
    for i, row in enumerate(value):
        if type(row) is not list or not row:
            raise InvalidRequest(f"latents[{i}]", row, "a list of numbers")
        if len(row) != len(value[0]):
            wanted = f"{len(value[0])}, as many as latents[0] has"
            raise InvalidRequest(f"latents[{i}]", Words(f"{len(row)} numbers"), wanted)
        if not NUMBERS.issuperset(map(type, row)):
            j = next(j for j, x in enumerate(row) if type(x) not in NUMBERS)
            raise InvalidRequest(f"latents[{i}][{j}]", row[j], "a number")
    try:
        return np.array(value, np.float64)
    except OverflowError:  # a whole number has hundreds of digits
        i, j, x = next(
            (i, j, x) for i, row in enumerate(value) for j, x in enumerate(row) if _is_huge(x)
        )
        raise InvalidRequest(f"latents[{i}][{j}]", x, "a finite float32") from None


def _is_huge(number: float) -> bool:
    return type(number) is int and number.bit_length() > 128


def _listed(value: object, most: int) -> object:
    """Return ``value`` as it is told where it is no list of the right length."""
    return Words(f"a list of {len(value)}") if type(value) is list and len(value) > most else value
