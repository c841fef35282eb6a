"""No body raises anything but an error that the caller is told."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api import body as body_module
from server.api.body import LARGE, read_json
from server.errors import InvalidRequest, ServingError, UnsupportedMedia, shown

DEEP = 60000


def environ_of(body, **more):
    return {"wsgi.input": io.BytesIO(body)} | more


def test_request_without_a_body_has_nothing_to_read():
    assert read_json(environ_of(b"")) is None


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
def test_compressed_body_is_not_taken_for_another(coding):
    with pytest.raises(UnsupportedMedia, match=r"Content-Encoding is .*; wanted identity") as error:
        read_json(environ_of(b"{}", HTTP_CONTENT_ENCODING=coding))
    assert error.value.headers() == {"Accept-Encoding": "identity"}


def test_body_that_says_it_is_not_compressed_is_read():
    assert read_json(environ_of(b"{}", HTTP_CONTENT_ENCODING="Identity")) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * DEEP,
        b'{"a":' * 10000,
        b"9" * 5000,
        b'{"n": NaN}',
        b"[Infinity, -Infinity]",
        b'{"n": 1, "n": 4096}',
        b"\xff",
        b'"\xed\xa0\x80"',
        '{"n": 1}'.encode("utf-16"),
        b'{"n": 1} {"n": 2}',
        b"\0",
        b'"a\nb"',
        b" ",
    ],
    ids=lambda x: repr(x[:20]),
)
def test_what_is_no_json_names_the_body(body):
    with pytest.raises(InvalidRequest) as error:
        read_json(environ_of(body))
    assert error.value.facts() == {"field": "body"}
    assert str(error.value).startswith("body is ")
    assert "; wanted JSON" in str(error.value)
    assert len(str(error.value)) < 300


def test_json_as_deep_as_can_be_read_can_be_shown():
    """Python reads a little deeper than ``repr`` writes: the error about a value must not fail."""
    for depth in range(1, 1500):
        try:
            value = read_json(environ_of(b"[" * depth + b"]" * depth))
        except InvalidRequest:
            break
        assert len(shown(value)) <= 60


ROWS = [[0.1, -2.5e-7, 3, -0.0, 1e-400]] * 4000


@pytest.mark.parametrize(
    "document",
    [
        {"latents": ROWS, "format": "npy", "truncation": None},
        {"seeds": [0, 7, 2**64 - 1] * 9000},
        {"latents": ROWS, "format": 'a "quoted" text', "class": ["dog", {"deep": 1}]},
        [ROWS],
        {"latents": [[2**70, 1e300]], "pad": " " * LARGE},
    ],
    ids=["latents", "seeds", "texts", "list", "digits"],
)
def test_large_json_is_read_as_small_json_is(document):
    body = json.dumps(document).encode()
    assert len(body) > LARGE
    assert read_json(environ_of(body)) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"latents": %s, "n": 1, "n": 2}', "an object has two members of one name"),
        ('{"latents": %s, "class": {"n": 1, "n": 2}}', "an object has two members of one name"),
        ('{"latents": %s, "n": NaN}', "NaN is no number"),
        ('{"latents": %s', "Expecting ',' delimiter"),
    ],
)
def test_what_is_amiss_in_large_json_is_told_as_in_small_json(body, told):
    for rows in (ROWS[:1], ROWS):
        with pytest.raises(InvalidRequest, match=f"wanted JSON in UTF-8: {told}"):
            read_json(environ_of((body % json.dumps(rows)).encode()))


def test_json_that_would_take_much_more_memory_than_its_bytes_is_not_parsed(monkeypatch):
    monkeypatch.setattr(body_module, "MOST_PARTS", 30_000)
    assert read_json(environ_of(json.dumps({"latents": ROWS}).encode()))
    for part in ("[],", '"",', "{},"):
        with pytest.raises(InvalidRequest, match="wanted JSON of few texts, lists and objects"):
            read_json(environ_of(f'{{"latents": [{part * 40_000}0]}}'.encode()))


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u d8019eE.-+NaIfinty', max_size=60))
def test_any_body_is_read_or_told(body):
    body = body if isinstance(body, bytes) else body.encode()
    try:
        value = read_json(environ_of(body))
    except ServingError as error:
        assert error.status == 400
    else:
        assert value is None or json.loads(body) == value
