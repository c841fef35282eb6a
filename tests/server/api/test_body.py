"""No body raises anything but an error that the caller is told."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.body import MAX_BODY, read_body, read_json
from server.errors import (
    BodyError,
    BodyTimeout,
    BodyTooLarge,
    InvalidRequest,
    ServingError,
    UnsupportedMedia,
    shown,
)


def environ_of(body, **more):
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | more


def in_chunks(body):
    return {"wsgi.input": io.BytesIO(body), "HTTP_TRANSFER_ENCODING": "chunked"}


@pytest.mark.parametrize("environ_of", [environ_of, in_chunks])
def test_body_is_read_to_its_end_and_not_beyond(environ_of):
    assert read_body(environ_of(b"x" * MAX_BODY)) == b"x" * MAX_BODY
    with pytest.raises(BodyTooLarge, match="at most 65536 bytes"):
        read_body(environ_of(b"x" * (MAX_BODY + 1)))


def test_request_without_a_body_has_an_empty_one():
    assert read_body({"wsgi.input": io.BytesIO(b"of the next request")}) == b""
    assert read_json(environ_of(b"")) is None


def test_body_ends_where_the_head_says():
    assert read_body(environ_of(b"12345", CONTENT_LENGTH="3")) == b"123"


@pytest.mark.parametrize(
    ("raised", "told"), [(OSError, BodyError), (TimeoutError, BodyTimeout), (None, BodyError)]
)
def test_body_that_does_not_come_is_the_callers_error(raised, told):
    class Lost(io.BytesIO):
        def read(self, size):
            if raised:
                raise raised
            return b"too little"

    with pytest.raises(BodyError) as error:
        read_body({"wsgi.input": Lost(), "CONTENT_LENGTH": "100"})
    assert type(error.value) is told
    assert error.value.facts() == {"field": "body"}


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
def test_compressed_body_is_not_taken_for_another(coding):
    with pytest.raises(UnsupportedMedia, match=r"Content-Encoding is .*; wanted identity") as error:
        read_body(environ_of(b"{}", HTTP_CONTENT_ENCODING=coding))
    assert error.value.headers() == {"Accept-Encoding": "identity"}


def test_body_that_says_it_is_not_compressed_is_read():
    assert read_json(environ_of(b"{}", HTTP_CONTENT_ENCODING="Identity")) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * MAX_BODY,
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


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u d8019eE.-+NaIfinty', max_size=60))
def test_any_body_is_read_or_told(body):
    body = body if isinstance(body, bytes) else body.encode()
    try:
        value = read_json(environ_of(body))
    except ServingError as error:
        assert error.status == 400
    else:
        assert value is None or json.loads(body) == value
