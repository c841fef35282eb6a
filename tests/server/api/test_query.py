"""Query strings say what is wanted, or are refused."""

from urllib.parse import urlencode

import pytest

from server.api.parameters import ImageParameters
from server.api.query import OF_GRID, OF_IMAGE, Query, check_suffix, parse_seed
from server.errors import InvalidRequest, UnknownSuffix
from server.ipc.sources import SeedRange

LAST = 2**64 - 1


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", ImageParameters("png")),
        ("&", ImageParameters("png")),
        ("scale=32", ImageParameters("png", 32)),
        ("filter=lanczos&scale=2", ImageParameters("png", 2, "lanczos")),
        ("scale=%31", ImageParameters("png", 1)),
    ],
)
def test_query_of_an_image_is_its_parameters(text, parameters):
    assert Query(text, OF_IMAGE).parameters("png") == parameters


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scale=0", "scale is '0'; wanted a whole number from 1 to 32"),
        ("scale=33", "scale is '33'; wanted a whole number from 1 to 32"),
        ("scale=", "scale is ''; wanted a whole number from 1 to 32"),
        ("scale", "scale is ''; wanted a whole number from 1 to 32"),
        ("scale=2.0", "scale is '2.0'; wanted a whole number from 1 to 32"),
        ("scale=-1", "scale is '-1'; wanted a whole number from 1 to 32"),
        ("scale=%D9%A7", "scale is '\u0667'; wanted a whole number from 1 to 32"),
        ("scale=1&scale=2", "scale is ['1', '2']; wanted one value"),
        ("filter=cubic", "filter is 'cubic'; wanted nearest or lanczos"),
        ("Scale=2", "Scale is '2'; wanted the parameters scale, filter, truncation, class"),
        ("rows=2", "rows is '2'; wanted the parameters scale, filter, truncation, class"),
        ("=", " is ''; wanted the parameters scale, filter, truncation, class"),
    ],
)
def test_parameter_that_cannot_be_served_is_named(text, told):
    with pytest.raises(InvalidRequest) as error:
        Query(text, OF_IMAGE).parameters("png")
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("text", "source", "columns"),
    [
        ("", SeedRange(0, 64), 8),
        ("seed=7&rows=2&cols=3", SeedRange(7, 6), 3),
        ("rows=1&cols=4096", SeedRange(0, 4096), 4096),
        (f"seed={LAST}&rows=1&cols=1", SeedRange(LAST, 1), 1),
    ],
)
def test_grid_is_of_consecutive_seeds(text, source, columns):
    found, parameters = Query(text, OF_GRID).grid("jpeg", 4096)
    assert (found, parameters) == (source, ImageParameters("jpeg", columns=columns))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows=0", "rows is '0'; wanted a whole number from 1 to 4096"),
        ("cols=4097", "cols is '4097'; wanted a whole number from 1 to 4096"),
        (
            "rows=65&cols=64",
            "rows is 65; wanted at most 64: a grid has 4096 images at most",
        ),
        (f"seed={LAST}", f"seed is '{LAST}'; wanted a whole number from 0 to {LAST - 63}"),
        (
            "n=3",
            "n is '3'; wanted the parameters seed, rows, cols, scale, filter, truncation, class",
        ),
    ],
)
def test_grid_that_cannot_be_served_is_told_why(text, told):
    with pytest.raises(InvalidRequest) as error:
        Query(text, OF_GRID).grid("png", 4096)
    assert str(error.value) == told


def test_seed_is_a_whole_number():
    assert parse_seed("007") == 7
    with pytest.raises(
        InvalidRequest, match=f"seed is '-1'; wanted a whole number from 0 to {LAST}"
    ):
        parse_seed("-1")


def test_name_with_a_suffix_that_is_none_of_ours_is_not_there():
    check_suffix("7")
    with pytest.raises(UnknownSuffix) as error:
        check_suffix("7.gif")
    assert str(error.value) == "suffix is 'gif'; wanted png or jpg or webp or npy"
    assert error.value.status == 404


@pytest.mark.parametrize("text", ["1", "1.0", "0.7", ".7", "7e-1", "1e-300", "+0.5"])
def test_truncation_of_a_query_is_a_number_in_decimal(text):
    assert Query(urlencode({"truncation": text}), OF_IMAGE).truncation() == float(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-0", "-0.5", "1.1", "nan", "inf", "1e400", "1e-400", "0,7", "0_7", " 0.7", "x",
     "0x.8", "\u0660.\u0667", "e", "0." + "7" * 5000],
)  # fmt: skip
def test_truncation_of_a_query_that_is_none_is_told_so(text):
    with pytest.raises(InvalidRequest) as error:
        Query(urlencode({"truncation": text}), OF_IMAGE).truncation()
    assert error.value.field == "truncation"
    assert str(error.value).endswith("; wanted a number above 0, at most 1")
    if len(text) < 20:
        assert str(error.value).startswith(f"truncation is {text!r};")
