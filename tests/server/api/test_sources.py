"""What is asked to be drawn, and how it is told that it cannot be."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.body import read_json
from server.api.sources import (
    finite_rows,
    latents_of_npy,
    source_of_json,
)
from server.errors import InvalidRequest, ServingError
from server.ipc.sources import Latents, SeedRange, Seeds

LAST = 2**64 - 1
ANY_OF = "either seed and n, or seeds, or latents"


def source_of(text):
    """Return the source in the JSON ``text``, as a request's body has it."""
    return source_of_json(read_json({"wsgi.input": io.BytesIO(text.encode())}))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ('{"seed": 7}', SeedRange(7, 1)),
        ('{"seed": 7, "n": 3, "truncation": 0.7}', SeedRange(7, 3, 0.7)),
        ('{"seed": -0, "truncation": 1}', SeedRange(0, 1, 1.0)),
        (f'{{"seed": {LAST}, "truncation": 1e-300}}', SeedRange(LAST, 1, 1e-300)),
    ],
)
def test_range_of_seeds_is_what_its_members_say(text, source):
    assert source_of(text) == source


def test_range_without_a_seed_is_anywhere():
    found = source_of('{"n": 4096, "truncation": 0.5}')
    assert (found.n, found.truncation) == (4096, 0.5)
    assert found.seed + found.n <= LAST + 1
    assert source_of('{"n": 4096}').seed != found.seed


def test_list_of_seeds_keeps_its_order_and_what_is_there_twice():
    found = source_of(f'{{"seeds": [9, {LAST}, -0, 9], "truncation": 0.5}}')
    assert isinstance(found, Seeds)
    assert found.seeds.dtype == np.uint64
    assert (found.seeds.tolist(), found.truncation) == ([9, LAST, 0, 9], 0.5)


def test_latents_are_their_numbers_in_float32():
    found = source_of('{"latents": [[1, -0.0, 1e-50], [0.1, -3.4e38, 1e37]]}')
    assert isinstance(found, Latents)
    assert found.rows.dtype == np.float32
    assert found.rows.tolist() == np.float32([[1, 0, 0], [0.1, -3.4e38, 1e37]]).tolist()
    assert np.signbit(found.rows[0, 1])


REFUSED = {
    "no seeds": ('{"seeds": []}', "seeds is []; wanted a list of 1 to 4096 whole numbers"),
    "seeds are none": (
        '{"seeds": null}',
        "seeds is None; wanted a list of 1 to 4096 whole numbers",
    ),
    "a seed": ('{"seeds": 7}', "seeds is 7; wanted a list of 1 to 4096 whole numbers"),
    "too many seeds": (
        json.dumps({"seeds": [0] * 4097}),
        "seeds is a list of 4097; wanted a list of 1 to 4096 whole numbers",
    ),
    "seed beyond 64 bits": (
        f'{{"seeds": [1, {LAST + 1}]}}',
        f"seeds[1] is {LAST + 1}; wanted a whole number from 0 to {LAST}",
    ),
    "negative seed": (
        '{"seeds": [-1]}',
        f"seeds[0] is -1; wanted a whole number from 0 to {LAST}",
    ),
    "seed with a point": (
        '{"seeds": [1.0]}',
        f"seeds[0] is 1.0; wanted a whole number from 0 to {LAST}",
    ),
    "seed that is true": (
        '{"seeds": [true]}',
        f"seeds[0] is True; wanted a whole number from 0 to {LAST}",
    ),
    "seed as text": (
        '{"seeds": ["1"]}',
        f"seeds[0] is '1'; wanted a whole number from 0 to {LAST}",
    ),
    "seed that is none": (
        '{"seeds": [null]}',
        f"seeds[0] is None; wanted a whole number from 0 to {LAST}",
    ),
    "seed and seeds": (
        '{"seed": 7, "seeds": [1]}',
        f"seed is 7; wanted seeds without it: {ANY_OF}",
    ),
    "n and seeds": ('{"n": 1, "seeds": [1]}', f"n is 1; wanted seeds without it: {ANY_OF}"),
    "latents and seeds": (
        '{"latents": [[1]], "seeds": [1]}',
        f"latents is [[1]]; wanted seeds without it: {ANY_OF}",
    ),
    "seed and latents": (
        '{"latents": [[1]], "seed": 1}',
        f"seed is 1; wanted latents without it: {ANY_OF}",
    ),
    "n and latents": (
        '{"latents": [[1]], "n": 1}',
        f"n is 1; wanted latents without it: {ANY_OF}",
    ),
    "truncation and latents": (
        '{"latents": [[1]], "truncation": 0.7}',
        "truncation is 0.7; wanted none: latents are drawn as they are",
    ),
    "no latents": (
        '{"latents": []}',
        "latents is []; wanted a list of 1 to 4096 lists of numbers",
    ),
    "latents are none": (
        '{"latents": null}',
        "latents is None; wanted a list of 1 to 4096 lists of numbers",
    ),
    "latents are text": (
        '{"latents": "AAAA"}',
        "latents is 'AAAA'; wanted a list of 1 to 4096 lists of numbers",
    ),
    "latents are an object": (
        '{"latents": {"0": [1]}}',
        "latents is {'0': [1]}; wanted a list of 1 to 4096 lists of numbers",
    ),
    "too many latents": (
        json.dumps({"latents": [[0]] * 4097}),
        "latents is a list of 4097; wanted a list of 1 to 4096 lists of numbers",
    ),
    "flat latents": ('{"latents": [1, 2]}', "latents[0] is 1; wanted a list of numbers"),
    "empty row": ('{"latents": [[1], []]}', "latents[1] is []; wanted a list of numbers"),
    "row that is none": (
        '{"latents": [[1], null]}',
        "latents[1] is None; wanted a list of numbers",
    ),
    "ragged rows": (
        '{"latents": [[1, 2], [1, 2], [3]]}',
        "latents[2] is 1 numbers; wanted 2, as many as latents[0] has",
    ),
    "deep row": ('{"latents": [[[1]]]}', "latents[0][0] is [1]; wanted a number"),
    "text": ('{"latents": [[1, "2"]]}', "latents[0][1] is '2'; wanted a number"),
    "null": ('{"latents": [[1, 2], [1, null]]}', "latents[1][1] is None; wanted a number"),
    "true": ('{"latents": [[true]]}', "latents[0][0] is True; wanted a number"),
    "1e400": ('{"latents": [[0, 0], [0, 1e400]]}', "latents[1][1] is inf; wanted a finite float32"),
    "-1e400": ('{"latents": [[-1e400]]}', "latents[0][0] is -inf; wanted a finite float32"),
    "1e39": ('{"latents": [[0, -1e39]]}', "latents[0][1] is -1e+39; wanted a finite float32"),
    "many digits": (
        '{"latents": [[0, 1], [2, 1%s]]}' % ("0" * 400),
        "latents[1][1] is 100000000000000000...0000000000000000000; wanted a finite float32",
    ),
    "NaN": (
        '{"latents": [[NaN]]}',
        "body is '{\"latents\": [[NaN]]}'; wanted JSON in UTF-8: NaN is no number",
    ),
    "infinity": (
        '{"latents": [[-Infinity]]}',
        "body is '{\"latents\": [[-Infinity]]}'; wanted JSON in UTF-8: -Infinity is no number",
    ),
    "truncation 0": ('{"truncation": 0}', "truncation is 0; wanted a number above 0, at most 1"),
    "truncation -0": (
        '{"truncation": -0.0}',
        "truncation is -0.0; wanted a number above 0, at most 1",
    ),
    "truncation below 0": (
        '{"seed": 7, "truncation": -0.5}',
        "truncation is -0.5; wanted a number above 0, at most 1",
    ),
    "truncation above 1": (
        '{"seeds": [7], "truncation": 1.1}',
        "truncation is 1.1; wanted a number above 0, at most 1",
    ),
    "truncation 1e400": (
        '{"truncation": 1e400}',
        "truncation is inf; wanted a number above 0, at most 1",
    ),
    "truncation is text": (
        '{"truncation": "0.7"}',
        "truncation is '0.7'; wanted a number above 0, at most 1",
    ),
    "truncation is none": (
        '{"truncation": null}',
        "truncation is None; wanted a number above 0, at most 1",
    ),
    "truncation is true": (
        '{"truncation": true}',
        "truncation is True; wanted a number above 0, at most 1",
    ),
}


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_drawn_is_told_in_one_sentence(text, told):
    with pytest.raises(InvalidRequest) as error:
        source_of(text)
    assert str(error.value) == told
    assert error.value.field == told.split(" is ")[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["n", "seed", "seeds", "latents", "truncation"]), JSON))
def test_any_members_are_a_source_or_told(body):
    try:
        source = source_of_json(body)
    except ServingError as error:
        assert error.status == 400
    else:
        assert 1 <= source.n <= 4096
        assert 0 < source.truncation <= 1
        if source.given is not None:
            assert np.isfinite(source.given).all()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_latents_of_a_file_are_its_numbers_in_float32(kind):
    numbers = np.arange(-6, 6).reshape(3, 4).astype(kind) / 7
    rows = latents_of_npy(npy(numbers)).rows
    assert rows.dtype == np.float32
    assert (rows == numbers.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.float32([[0, 0], [0, np.nan]]), "latents[1][1] is nan; wanted a finite float32"),
        (np.float64([[0, 0], [-np.inf, 0]]), "latents[1][0] is -inf; wanted a finite float32"),
        (np.float64([[0, 1e39]]), "latents[0][1] is 1e+39; wanted a finite float32"),
        (np.float16([[np.inf]]), "latents[0][0] is inf; wanted a finite float32"),
        (
            np.array([[print]]),
            "body is a .npy file of type '|O'; wanted one of '<f2', '<f4', '<f8'",
        ),
        (
            np.zeros((4097, 1), np.float32),
            "body is a .npy file of 4097 rows; wanted 1 to 4096",
        ),
    ],
    ids=["nan", "infinity", "1e39", "half", "pickle", "rows"],
)
def test_file_that_cannot_be_drawn_is_told_in_one_sentence(array, told):
    with pytest.raises(InvalidRequest) as error:
        latents_of_npy(npy(array))
    assert str(error.value) == told


def test_largest_float32_is_finite_and_what_rounds_beyond_it_is_not():
    largest = float(np.finfo(np.float32).max)
    assert finite_rows(np.float64([[largest, -largest]])).tolist() == [[largest, -largest]]
    with pytest.raises(InvalidRequest, match=r"latents\[0\]\[0\] is 3.40282357e\+38; wanted"):
        finite_rows(np.float64([[3.40282357e38]]))
