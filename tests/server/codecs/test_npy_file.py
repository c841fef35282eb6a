"""Which .npy files are read, and that no other raises anything but the error that tells why."""

import io
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.lib import format as npy

from server.codecs.npy_file import LONGEST_HEADER, TYPES, NpyError, read_npy

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def saved(array, version=None):
    file = io.BytesIO()
    npy.write_array(file, np.asarray(array), version)
    return file.getvalue()


def written(header, data=b"", version=(1, 0)):
    """Return a file with the text ``header``."""
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(kind="<f4", order=False, shape=(3, 4)):
    return repr({"descr": kind, "fortran_order": order, "shape": shape})


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_numbers_come_out_as_they_were_saved(kind, version):
    found = read_npy(saved(ROWS.astype(kind), version), 4096)
    assert found.dtype == kind
    assert (found == ROWS).all()


def test_numbers_are_not_copied():
    data = saved(ROWS)
    assert np.shares_memory(read_npy(data, 3), np.frombuffer(data, np.uint8))


def test_file_that_another_program_wrote_is_read_wherever_its_numbers_begin():
    text = "{'shape':(3,4),'fortran_order':False,'descr':'<f4'}\n"
    assert (read_npy(written(text, ROWS.tobytes()), 4096) == ROWS).all()


HUGE = 10**18
WIDE = (1, HUGE)
MALFORMED = "a .npy file whose header is no array's; wanted descr, fortran_order and shape in it"
REFUSED = {
    "nothing": (b"", "0 bytes that begin with b''; wanted a .npy file"),
    "text": (b"1,2,3", "5 bytes that begin with b'1,2,3'; wanted a .npy file"),
    "magic alone": (b"\x93NUMPY", r"6 bytes that begin with b'\x93NUMPY'; wanted a .npy file"),
    "version": (
        b"\x93NUMPY\x04\0" + saved(ROWS)[8:],
        r"176 bytes that begin with b'\x93NUMPY\x04\x00'; wanted a .npy file",
    ),
    "objects": (
        saved(np.array([[print, {}]])),
        "a .npy file of type '|O'; wanted one of '<f2', '<f4', '<f8'",
    ),
    "pickle": (
        pickle.dumps(ROWS, protocol=2)[:200],
        "200 bytes that begin with b'\\x80\\x02cnumpy'; wanted a .npy file",
    ),
    "whole numbers": (
        saved(ROWS.astype("<i4")),
        "a .npy file of type '<i4'; wanted one of '<f2', '<f4', '<f8'",
    ),
    "big-endian": (
        saved(ROWS.astype(">f4")),
        "a .npy file of type '>f4'; wanted one of '<f2', '<f4', '<f8'",
    ),
    "Fortran": (
        saved(np.asfortranarray(ROWS)),
        "a .npy file in Fortran's order; wanted one in C's: row after row",
    ),
    "order is a number": (
        written(header(order=0), ROWS.tobytes()),
        MALFORMED,
    ),
    "one dimension": (saved(ROWS[0]), "a .npy file of shape (4,); wanted (n, latent_dim)"),
    "a blank in a number": (
        written("{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}"),
        "a .npy file of shape (); wanted (n, latent_dim)",
    ),
    "no dimension": (saved(ROWS[0, 0]), "a .npy file of shape (); wanted (n, latent_dim)"),
    "four dimensions": (
        saved(ROWS.reshape(3, 2, 2, 1)),
        "a .npy file of shape (3, 2, 2, 1); wanted (n, latent_dim)",
    ),
    "no width": (
        saved(np.zeros((3, 0), "<f4")),
        "a .npy file of shape (3, 0); wanted (n, latent_dim)",
    ),
    "no rows": (saved(ROWS[:0]), "a .npy file of 0 rows; wanted 1 to 4096"),
    "too many rows": (
        written(header(shape=(4097, 4))),
        "a .npy file of 4097 rows; wanted 1 to 4096",
    ),
    "huge": (
        written(header(shape=(HUGE, HUGE))),
        f"a .npy file of {HUGE} rows; wanted 1 to 4096",
    ),
    "wide": (
        written(header(shape=WIDE)),
        f"a .npy file with 0 bytes behind its header; wanted {4 * HUGE}, as its shape {WIDE} says",
    ),
    "short": (
        saved(ROWS)[:-1],
        "a .npy file with 47 bytes behind its header; wanted 48, as its shape (3, 4) says",
    ),
    "long": (
        saved(ROWS) + b"\0",
        "a .npy file with 49 bytes behind its header; wanted 48, as its shape (3, 4) says",
    ),
    "long header": (
        written(header() + " " * LONGEST_HEADER, ROWS.tobytes()),
        "a .npy file with a header of 1081 bytes; wanted at most 1024",
    ),
    "header of gigabytes": (
        b"\x93NUMPY\2\0" + b"\xff" * 4,
        "a .npy file with a header of 4294967295 bytes; wanted at most 1024",
    ),
}


@pytest.mark.parametrize(("data", "told"), REFUSED.values(), ids=REFUSED)
def test_file_that_is_not_read_is_told_why(data, told):
    with pytest.raises(NpyError) as error:
        read_npy(data, 4096)
    assert str(error.value) == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "1" * 1000,
        "(" * 1000,
        "-" * 1000 + "1",
        "{'descr': '<f4', 'fortran_order': False}",
        header()[:-1] + ", 'more': 1}",
        "__import__('os').system('touch /tmp/x')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3 * 1, 4)}",
        "{[]: 1}",
        header(shape=(-3, -4)),
        header(shape=(True, 12)),
        header(kind=[("x", "<f4")]),
        header(kind="\\x3cf4"),
        header(kind=7),
        "{'descr': '<f4', 'descr': '<f4', 'shape': (3, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), 'shape': (3, 4)}",
        header() * 2,
        "{'descr': '<f4'" + " " * 900 + "}",
        "\0",
        "\u00e9",
    ],
)
def test_header_that_is_malformed_is_told_so(text):
    with pytest.raises(NpyError) as error:
        read_npy(written(text, ROWS.tobytes()), 4096)
    assert str(error.value) == MALFORMED


def test_file_that_ends_within_its_header_is_told_so():
    for end in range(10, 118):
        with pytest.raises(NpyError, match="header is no array's"):
            read_npy(saved(ROWS)[:end], 4096)


@given(
    st.integers(0, 175),
    st.binary(min_size=1, max_size=4),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_any_damage_is_read_or_told(place, bytes_, version):
    data = bytearray(saved(ROWS, version))
    data[place : place + len(bytes_)] = bytes_
    try:
        found = read_npy(bytes(data), 4096)
    except NpyError as error:
        assert len(str(error)) < 1300
    else:
        assert found.ndim == 2
        with suppress(ValueError):  # NumPy reads no header above a length of its own
            theirs = np.load(io.BytesIO(bytes(data)), allow_pickle=False)
            assert theirs.tobytes() == found.tobytes()


@given(
    arrays(
        st.sampled_from(["<f2", "<f4", "<f8", ">f4", "<i4", "?", "<c8", "<U3", "<M8[s]"]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.booleans(),
    st.integers(1, 4),
)
def test_arrays_are_read_where_they_are_rows_of_floats_and_told_where_not(array, turned, most):
    array = array.T if turned else array
    try:
        found = read_npy(saved(array), most)
    except NpyError:
        found = None
    is_rows = array.ndim == 2 and 1 <= len(array) <= most and array.shape[1] > 0
    is_written_by_rows = array.flags.c_contiguous  # NumPy writes any other by columns
    assert (found is not None) is (is_rows and array.dtype.str in TYPES and is_written_by_rows)
    if found is not None:
        assert found.tobytes() == array.tobytes()


@given(st.text(alphabet="{}()[]'\":,<f48 descrfortan_odrshpeTFul\n\x00\u00e9", max_size=200))
def test_any_header_is_read_or_told(text):
    try:
        read_npy(written(text, ROWS.tobytes()), 4096)
    except NpyError as error:
        assert len(str(error)) < 1300
