"""A MATLAB file gives its entries, or a sentence that says what is wrong with it."""

import numpy as np
import pytest
from scipy.io import savemat

from training.data.layout import DataError
from training.data.mat import read_mat


def structs(*rows):
    """A MATLAB struct array, 1 x N, of entries with a name and a number."""
    entries = np.empty((1, len(rows)), [("name", object), ("number", object)])
    entries[0, :] = list(rows)
    return entries


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_struct_array_gives_one_object_an_entry(tmp_path, count, compressed):
    rows = [(f"{n}.jpg", n) for n in range(count)]
    savemat(tmp_path / "a.mat", {"entries": structs(*rows)}, do_compression=compressed)
    entries = read_mat(tmp_path / "a.mat", "entries", ("name", "number"))
    assert [(entry.name, entry.number) for entry in entries] == rows


def test_other_contents_are_told_by_name(tmp_path):
    savemat(tmp_path / "a.mat", {"entries": structs(("a", 1))})
    with pytest.raises(DataError, match=r"a.mat: wanted the variable 'annotations', found none"):
        read_mat(tmp_path / "a.mat", "annotations")
    with pytest.raises(DataError, match="'entries' has entries without bbox_x1"):
        read_mat(tmp_path / "a.mat", "entries", ("name", "bbox_x1"))


@pytest.mark.parametrize("kept", [0, 100, 200])
def test_file_cut_short_is_told(tmp_path, kept):
    savemat(tmp_path / "a.mat", {"entries": structs(("a", 1))}, do_compression=True)
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a.mat: not a MAT-file that can be read"):
        read_mat(tmp_path / "a.mat", "entries")


def test_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"a.mat: not a MAT-file that can be read"):
        read_mat(tmp_path / "a.mat", "entries")
