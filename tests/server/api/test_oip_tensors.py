"""Tensors that callers send, and images as they are answered: exact, or refused in words."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.oip_tensors import (
    PIECE,
    LatentsShape,
    json_numbers,
    json_rows,
    latents_from_bytes,
    latents_from_json,
    packed_numbers,
)
from server.errors import InvalidRequest

SHAPE = LatentsShape(3, 8)
TWO = [[0.5, -1.0, 2.0], [1e-40, 3.0e38, -0.0]]
"""Two rows of three numbers, a subnormal and one near the end of float32 among them."""


@pytest.mark.parametrize("shape", [[2, 3], (2, 3)])
def test_shape_tells_the_rows(shape):
    assert SHAPE.check_tensor("FP32", shape) == 2


@pytest.mark.parametrize(
    ("datatype", "shape", "told"),
    [
        ("FP64", [2, 3], "datatype of latents is 'FP64'; wanted FP32"),
        ("fp32", [2, 3], "datatype"),
        (None, [2, 3], "datatype"),
        ("FP32", None, "shape of latents is None"),
        ("FP32", 6, "shape"),
        ("FP32", "23", "shape"),
        ("FP32", [6], "shape"),
        ("FP32", [2, 3, 1], "shape"),
        ("FP32", [2, 4], r"shape of latents is \[2, 4\]; wanted \[n, 3\]"),
        ("FP32", [2.0, 3], "shape"),
        ("FP32", ["2", "3"], "shape"),
        ("FP32", [True, 3], "shape"),
        ("FP32", [-1, 3], "rows of latents is -1; wanted from 1 to 8"),
        ("FP32", [0, 3], "rows"),
        ("FP32", [9, 3], "rows"),
        ("FP32", [2**63, 3], "rows"),
    ],
)
def test_tensor_of_another_type_or_shape_is_refused(datatype, shape, told):
    with pytest.raises(InvalidRequest, match=told):
        SHAPE.check_tensor(datatype, shape)


@pytest.mark.parametrize("data", [TWO, [*TWO[0], *TWO[1]]], ids=["nested", "flat"])
def test_numbers_in_json_are_the_nearest_float32(data):
    latents = latents_from_json(data, 2, 3)
    assert latents.dtype == np.float32
    assert latents.tobytes() == np.array(TWO, np.float32).tobytes()


def test_whole_numbers_in_json_are_numbers():
    assert latents_from_json([1, 2, 3], 1, 3).tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "data of latents is None; wanted a list"),
        (1.0, "data"),
        ({}, "data"),
        ("0.5", "data"),
        ([], "length of data of latents is 0; wanted 6"),
        ([0.0] * 5, "length"),
        ([0.0] * 7, "length"),
        ([[0.0] * 3], "length of data of latents is 1; wanted 2 rows"),
        ([[0.0] * 3, [0.0] * 2], "lists of 3 numbers each"),
        ([[0.0] * 3, 0.0], "lists of 3 numbers each"),
        ([[0.0] * 6], "length"),
        ([[[0.0] * 3, [0.0] * 3]], "length"),
        ([[[0.0]] * 3, [0.0] * 3], "numbers alone"),
        ([0.0, [0.0], 0.0, 0.0, 0.0, 0.0], "numbers alone"),
        ([0.0] * 5 + [None], "data of latents is None; wanted numbers alone"),
        ([0.0] * 5 + ["0.5"], "data of latents is '0.5'"),
        ([0.0] * 5 + [True], "data of latents is True"),
        ([0.0] * 4 + [1e39, 0.0], r"latents\[1\]\[1\] is inf; wanted a finite float32"),
        ([-3.5e38] + [0.0] * 5, r"latents\[0\]\[0\] is -inf"),
    ],
)
def test_what_is_no_tensor_in_json_is_refused(data, told):
    with pytest.raises(InvalidRequest, match=told):
        latents_from_json(data, 2, 3)


def test_bytes_are_the_numbers_wherever_they_begin():
    packed = np.array(TWO, "<f4").tobytes()
    for start in range(4):
        data = memoryview(b"x" * start + packed)[start:]
        assert latents_from_bytes(data, 2, 3).tobytes() == packed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_bytes_of_what_is_not_finite_are_refused_with_their_place(value):
    packed = np.array([[0, 0, 0], [0, 0, value]], "<f4").tobytes()
    with pytest.raises(InvalidRequest, match=r"latents\[1\]\[2\] is "):
        latents_from_bytes(packed, 2, 3)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_latents_are_the_same_in_json_and_in_bytes(numbers):
    packed = np.array(numbers, "<f4").tobytes()
    read = json.loads(json.dumps(numbers))
    assert latents_from_json(read, len(numbers), 1).tobytes() == packed
    assert latents_from_bytes(packed, len(numbers), 1).tobytes() == packed


@given(st.binary(min_size=4, max_size=48).map(lambda data: data[: len(data) // 4 * 4]))
def test_any_bytes_are_latents_unless_one_is_not_finite(data):
    numbers = struct.unpack(f"<{len(data) // 4}f", data)
    try:
        found = latents_from_bytes(data, 1, len(numbers))
    except InvalidRequest as error:
        assert str(error).startswith("latents[0][")
        assert not all(map(math.isfinite, numbers))
    else:
        assert all(map(math.isfinite, numbers))
        assert found.tobytes() == data


@given(
    st.lists(st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=2)),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_any_list_is_latents_of_its_shape_or_told(data, rows, width):
    try:
        found = latents_from_json(data, rows, width)
    except InvalidRequest:
        return
    assert found.shape == (rows, width)
    assert np.isfinite(found).all()
    assert set(map(type, data)) <= {int, float}


@pytest.mark.parametrize("count", [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 5])
def test_images_of_any_size_are_one_list_of_their_numbers(count):
    images = (np.arange(count) % 256).astype(np.uint8).reshape(count, 1, 1, 1)
    assert json.loads(json_numbers(images)) == images.ravel().tolist()


def test_images_are_packed_row_by_row():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert packed_numbers(images) == bytes(range(24))


def floats(n):
    return np.tanh(np.random.default_rng(7).standard_normal((n, 4, 4, 3))).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 700, 1500])
def test_floats_in_json_read_back_to_the_same_bits_flat_and_nested(n):
    images = floats(n)
    flat = json.loads(json_numbers(images))
    assert (np.array(flat, np.float32) == images.ravel()).all()
    assert (np.array(json.loads(json_rows(images)), np.float32) == images).all()


def test_image_that_is_larger_than_what_is_written_at_a_time_is_written():
    images = np.full((2, 128, 128, 3), 0.5, np.float32)
    assert json.loads(json_rows(images)) == images.tolist()


def test_float_that_is_no_number_is_null_in_json():
    assert json_numbers(np.array([np.nan, 1], np.float32)) == b"[null,1.0]"
