"""Header fields as RFC 9112 has them, and nothing else."""

import http.client
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.worker.headers import FIELD, MOST_FIELDS, read_fields

NAMES = st.text("abcXYZ019!#$%&'*+-.^`|~", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


def read(text):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return read_fields(io.BytesIO(data + b"\r\n"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_is_right_is_read_as_pythons_own_reader_does(fields):
    names = {name.lower() for name, _ in fields}
    if names & {"content-length", "transfer-encoding", "cookie"}:
        return
    text = "".join(f"{name}: {value}\r\n" for name, value in fields)
    found = read(text)
    own = http.client.parse_headers(io.BytesIO(text.encode() + b"\r\n"))
    assert len(found) == len(names)
    for name in names:
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.replace('-', '_').upper()}"
        assert found[key] == ",".join(own.get_all(name))


def test_names_are_those_of_a_wsgi_environment():
    assert read("Host: cars\r\nX-Request-Id:\t7 \r\naccept: a\r\nContent-Type: a/b\r\n") == {
        "HTTP_HOST": "cars",
        "HTTP_X_REQUEST_ID": "7",
        "HTTP_ACCEPT": "a",
        "CONTENT_TYPE": "a/b",
    }
    assert read("Content-Length: 12\r\n") == {"CONTENT_LENGTH": "12"}


def test_values_of_one_name_are_joined():
    assert read("Accept: a\r\naccept: b\r\nCookie: c=1\r\nCookie: d=2\r\n") == {
        "HTTP_ACCEPT": "a,b",
        "HTTP_COOKIE": "c=1; d=2",
    }


def test_name_with_an_underscore_does_not_pass_for_one_with_a_hyphen():
    assert read("X_Real_IP: 1\r\nContent_Length: 2\r\nX-Real-IP: 3\r\n_: 4\r\n") == {
        "HTTP_X_REAL_IP": "3"
    }


def test_line_may_end_without_a_carriage_return():
    assert read(b"Host: cars\nAccept: a\n") == {"HTTP_HOST": "cars", "HTTP_ACCEPT": "a"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Host : cars\r\n", "no header field"),
        (" Host: cars\r\n", "no header field"),
        ("Host: cars\r\n and vans\r\n", "no header field"),
        ("Host\r\n", "no header field"),
        (": cars\r\n", "no header field"),
        ("Ho st: cars\r\n", "no header field"),
        ("Host: ca\0rs\r\n", "no header field"),
        ("Host: cars\rX: y\r\n", "no header field"),
        ("H\u00f6st: cars\r\n", "no header field"),
        ("Host: " + "c" * 70_000 + "\r\n", "no header field"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "b'Content-Length' twice"),
        ("Content-Length: 1\r\ncontent-length: 1\r\n", "b'content-length' twice"),
        ("Content-Length: +1\r\n", "'\\+1'"),
        ("Content-Length: 1_0\r\n", "'1_0'"),
        ("Content-Length: -1\r\n", "'-1'"),
        ("Content-Length: \u00b2\r\n", "content-length"),
        ("Content-Length:\r\n", "content-length ''"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "b'Transfer-Encoding' twice"),
        ("Transfer-Encoding: gzip, chunked\r\n", "'gzip, chunked'"),
        ("Transfer-Encoding: xchunked\r\n", "'xchunked'"),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "length and transfer-encoding"),
        ("A: b\r\n" * (MOST_FIELDS + 1), "more than 100"),
    ],
)
def test_what_two_readers_may_understand_differently_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        read(text)


def test_as_many_fields_as_may_be_are_read():
    assert len(read("".join(f"A{number}: b\r\n" for number in range(MOST_FIELDS)))) == MOST_FIELDS


def test_request_that_ends_before_its_fields_do_is_refused():
    with pytest.raises(ValueError, match="no header field: b''"):
        read_fields(io.BytesIO(b"Host: cars\r\n"))


@pytest.mark.parametrize("end", ["\0\r\n", "x\r\n"])
def test_time_for_a_line_of_spaces_grows_no_faster_than_the_line(end):
    """It grew by the cube: one line of 64 KiB would have held a worker for days."""

    def seconds(spaces):
        line = b"A:" + b" " * spaces + end.encode()
        began = time.process_time()
        for _ in range(20):
            FIELD.fullmatch(line)
        return time.process_time() - began

    short, long = (min(seconds(spaces) for _ in range(5)) for spaces in (50, 400))
    assert long < 32 * short
