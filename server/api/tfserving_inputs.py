"""The tensors in the body of TensorFlow Serving's ``predict``: latents, and a class for each.

They are rows, ``instances``, or a column, ``inputs``; either may name the tensors.
Source: TensorFlow Serving's documentation of its RESTful API.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.api.oip_classes import CLASS
from server.api.oip_documents import Document
from server.api.oip_tensors import LATENTS, LatentsShape, latents_from_json
from server.bundle.classes import NamedEach, named_for_each
from server.errors import InvalidRequest

NAMES = {LATENTS, CLASS}


def read_tensors(
    document: Document, shape: LatentsShape
) -> tuple[NDArray[np.float32], NamedEach | None]:
    """Return the latents float32 [n, latent_dim] of ``document``, and the class of each row.

    The document has either instances or inputs. The classes are None where it names none.

    Raises:
        InvalidRequest: these are no latents of that shape, or classes of other rows.
    """
    read = _rows if "instances" in document else _column
    rows, classes = read(document.get("instances", document.get("inputs")))
    if not isinstance(rows, list) or not all(type(row) is list for row in rows):
        raise InvalidRequest(LATENTS, rows, f"lists of {shape.latent_dim} numbers each")
    latents = latents_from_json(rows, shape.check_rows(len(rows)), shape.latent_dim)
    if classes is None:
        return latents, None
    if type(classes) is not list:
        raise InvalidRequest(CLASS, classes, f"a list of {len(rows)}, one for each image")
    flat = [x[0] if type(x) is list and len(x) == 1 else x for x in classes]
    return latents, named_for_each(flat, len(rows))  # type: ignore[return-value]


def _rows(instances: Any) -> tuple[Any, Any]:
    """Return the latents and the classes of rows, each of which may be an object with both."""
    if not isinstance(instances, list):
        raise InvalidRequest("instances", instances, "a list of rows")
    named = [
        _named(row, "instances") if isinstance(row, dict) else (row, None) for row in instances
    ]
    classes = [of_class for _, of_class in named]
    return [row for row, _ in named], classes if any(x is not None for x in classes) else None


def _column(inputs: Any) -> tuple[Any, Any]:
    return _named(inputs, "inputs") if isinstance(inputs, dict) else (inputs, None)


def _named(tensors: Document, field: str) -> tuple[Any, Any]:
    if LATENTS not in tensors or not NAMES.issuperset(tensors):
        raise InvalidRequest(field, list(tensors), f"one, {LATENTS}, and {CLASS} beside it at most")
    return tensors[LATENTS], tensors.get(CLASS)
