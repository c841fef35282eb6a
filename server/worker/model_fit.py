"""Whether what a request asks for fits the model that is to draw it."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.bundle.classes import OWN, Named, NamedEach, class_id, class_ids
from server.errors import InvalidRequest, Words
from server.ipc.catalog import Entry


def row_bytes(given: NDArray[Any] | None, entry: Entry, key: int | None = None) -> int:
    """Return the bytes of a row that a source gives for images of ``entry``; 0 if it gives none.

    ``key`` is that of what is to run; a row for its gradient has cotangents behind its latents.

    Raises:
        InvalidRequest: there is no row, or the rows are latents of another width than the model's.
    """
    if given is None:
        return 0
    assert entry.manifest is not None  # find has seen to it
    if not len(given):
        raise InvalidRequest("n", 0, "at least 1")
    dim = entry.manifest.latents.dim
    if key == entry.gradient_key:
        dim += prod(entry.manifest.image.shape)
    if given.ndim == 2 and given.shape[1] != dim:
        told = Words(f"{given.shape[0]} rows of {given.shape[1]} numbers")
        raise InvalidRequest("latents", told, f"rows of {dim}, the latent_dim of {entry}")
    return given.nbytes // len(given)


def classes(named: Named | NamedEach, entry: Entry) -> int | NDArray[np.int32]:
    """Return the number that the class ``named`` has in ``entry``, or those of a class for each
    image, int32 [n].

    Raises:
        InvalidRequest: the model has no such class.
    """
    if named is None or isinstance(named, int | str):
        return class_number(named, entry)
    assert entry.manifest is not None  # find has seen to it
    return class_ids(entry.manifest.classes, named, entry)


def class_number(named: Named, entry: Entry) -> int:
    """Return the number that the class ``named`` has in ``entry``, or ``OWN`` if none is named.

    Raises:
        InvalidRequest: the model has no such class.
    """
    if named is None:
        return OWN
    assert entry.manifest is not None  # find has seen to it
    return class_id(entry.manifest.classes, named, entry)
