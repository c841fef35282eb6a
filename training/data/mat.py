"""MATLAB's files, in which data sets of cars keep their labels."""

from pathlib import Path
from typing import Any

import numpy as np

from training.data.layout import DataError


def read_mat(path: Path, variable: str, fields: tuple[str, ...] = ()) -> np.ndarray[Any, Any]:
    """Return one ``variable`` of a MAT-file (version 5), without MATLAB's 1x1 wrappings.

    A cell array becomes an array of objects, and so does a struct array, whose objects have
    ``fields``.

    Raises:
        DataError: the file is damaged, or holds no such variable or fields.
    """
    from scipy.io import loadmat  # the other sources do not need SciPy

    try:
        known = loadmat(path, variable_names=[variable], squeeze_me=True, struct_as_record=False)
    except Exception as error:  # a damaged file causes errors of many kinds
        raise DataError(f"{path}: not a MAT-file that can be read ({error})") from error
    if variable not in known:
        raise DataError(f"{path}: wanted the variable {variable!r}, found none")
    entries = np.atleast_1d(known[variable])
    lacking = [name for name in fields if not all(hasattr(entry, name) for entry in entries)]
    if lacking:
        raise DataError(f"{path}: {variable!r} has entries without {', '.join(lacking)}")
    return entries
