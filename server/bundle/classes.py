"""The classes of a conditional generator's images: their names, and which one an image has.

A bundle without classes is that of an unconditional generator, whose graph takes latents alone.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.bundle.errors import BundleError
from server.errors import InvalidRequest, Words

OWN = -1
"""The class of a request that names none: each image has that of its seed, see ``classes_of``."""
EACH = -2
"""The class of a request that names one for each of its images."""
MOST_CLASSES = 10_000
LONGEST_NAME = 64
"""The characters of a class's name at most."""
NAMES = {int, str}
"""The types of a class in JSON; ``bool`` is none of them."""
TOLD = 12
"""The names that a refusal lists at most."""

Named = int | str | None
"""A class as a caller names it: by its number or by its name; None names none."""
NamedEach = list[int | str] | NDArray[np.integer[Any]]
"""The class of each image of a request: named in a list, or numbers [n]."""


def classes_of(seeds: Sequence[int], count: int) -> NDArray[np.int64]:
    """Return the classes that ``seeds`` have by themselves, int64 [len(seeds)].

    Of ``count`` classes it is the seed modulo ``count``: neighbours show the classes in turn.
    """
    return np.array([seed % count for seed in seeds], np.int64)


def named_in_json(value: object) -> Named:
    """Return the class that a member of JSON names.

    Raises:
        InvalidRequest: it is neither a name nor a number.
    """
    if value is None or type(value) is int or type(value) is str:
        return value
    raise InvalidRequest("class", value, "the name or the number of a class")


def named_for_each(value: object, n: int) -> Named | NamedEach:
    """Return the class that a member of JSON names for ``n`` images, or the list of their classes.

    Raises:
        InvalidRequest: it is neither a name nor a number, nor a list of ``n`` of them.
    """
    if type(value) is not list:
        return named_in_json(value)
    if len(value) != n:
        raise InvalidRequest("class", Words(f"a list of {len(value)}"), f"{n}, one for each image")
    for i, named in enumerate(value):
        if type(named) not in NAMES:
            raise InvalidRequest(f"class[{i}]", named, "the name or the number of a class")
    return value


def class_id(names: Sequence[str], named: Named, model: object) -> int:
    """Return the number of the class ``named`` among ``names``, or ``OWN`` if it is None.

    ``model`` is told where it has no classes. A text is a name, or else a number.

    Raises:
        InvalidRequest: there is no such class.
    """
    if named is None:
        return OWN
    if not names:
        raise InvalidRequest("class", named, f"none, as {model} has no classes")
    if isinstance(named, str) and named in names:
        return names.index(named)
    number = _number(named)
    if number is None or not 0 <= number < len(names):
        raise InvalidRequest("class", named, _wanted(names))
    return number


def class_ids(names: Sequence[str], named: NamedEach, model: object) -> NDArray[np.int32]:
    """Return the numbers of the classes ``named`` among ``names``, int32 [n].

    Raises:
        InvalidRequest: there is no such class; the first one is named.
    """
    if not names:
        told = named[0] if isinstance(named, list) else int(named[0])
        raise InvalidRequest("class[0]", told, f"none, as {model} has no classes")
    given: NDArray[np.integer[Any]]
    if isinstance(named, list):
        numbers = {name: number for number, name in enumerate(names)}
        found = [numbers[x] if x in numbers else _number(x) for x in named]
        given = np.array(
            [-1 if x is None else max(-1, min(x, len(names))) for x in found], np.int64
        )
    else:
        given = named
    beyond = (given < 0) | (given >= len(names))
    if beyond.any():
        i = int(beyond.argmax())
        told = named[i] if isinstance(named, list) else int(named[i])
        raise InvalidRequest(f"class[{i}]", told, _wanted(names))
    return given.astype(np.int32)


def check_names(names: Sequence[str], place: str) -> None:
    """Check that each of ``names`` names one class; none names an unconditional generator's.

    Raises:
        BundleError: a name is empty, too long, there twice, or another class's number.
    """
    if len(names) == 1 or len(names) > MOST_CLASSES:
        raise BundleError(f"{place}: classes: {len(names)} are named; wanted 2 to {MOST_CLASSES}")
    if len(set(names)) < len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise BundleError(f"{place}: classes: {twice!r} is there twice")
    for number, name in enumerate(names):
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise BundleError(
                f"{place}: classes: the name {name[:LONGEST_NAME]!r} is none of 1 to "
                f"{LONGEST_NAME} characters that can be printed"
            )
        if _number(name) not in (None, number):
            raise BundleError(
                f"{place}: classes: class {number} is called {name!r}, another's number"
            )


def _number(named: object) -> int | None:
    """Return ``named`` if it is a number, or the number that it writes in decimal, else None."""
    if isinstance(named, str):
        return int(named) if named.isascii() and named.isdecimal() and len(named) <= 9 else None
    return named if type(named) is int else None


def _wanted(names: Sequence[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names[:TOLD])
    more = f" or another of {len(names)} names" if len(names) > TOLD else ""
    return f"{listed}{more}, or a number from 0 to {len(names) - 1}"
