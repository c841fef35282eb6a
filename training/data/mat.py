"""MATLAB's files, in which data sets of cars keep their labels."""

from pathlib import Path
from typing import Any

import numpy as np

from training.data.layout import DataError


def read_mat(path: Path, variable: str, fields: tuple[str, ...] = ()) -> np.ndarray[Any, Any]:
    """Return one ``variable`` of a MAT-file (version 5), with MATLAB's 1x1 wrappings taken off.

    A cell array is an array of objects; a struct array is one too, each with ``fields``.

    Raises:
        DataError: the file is damaged, or holds no such variable or fields.
    """
    from scipy.io import loadmat  # only here: the other sources do without

    try:
        known = loadmat(path, variable_names=[variable], squeeze_me=True, struct_as_record=False)
    except Exception as error:  # whatever a damaged file sets off
        raise DataError(f"{path}: not a MAT-file that can be read ({error})") from error
    if variable not in known:
        raise DataError(f"{path}: wanted the variable {variable!r}, found none")
    entries = np.atleast_1d(known[variable])
    lacking = [name for name in fields if not all(hasattr(entry, name) for entry in entries)]
    if lacking:
        raise DataError(f"{path}: {variable!r} has entries without {', '.join(lacking)}")
    return entries
