"""Header fields as RFC 9112 has them, and nothing else."""

import http.client
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.headers import MOST_FIELDS, Headers

NAMES = st.text("abcXYZ019!#$%&'*+-.^`|~", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


def read(text):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return Headers(io.BytesIO(data + b"\r\n"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_is_right_is_read_as_pythons_own_reader_does(fields):
    if {name.lower() for name, _ in fields} & {"content-length", "transfer-encoding"}:
        return
    text = "".join(f"{name}: {value}\r\n" for name, value in fields)
    found = read(text)
    own = http.client.parse_headers(io.BytesIO(text.encode() + b"\r\n"))
    assert not found.status
    assert [value for _, value in found.fields] == own.values()
    for name, _ in fields:
        assert found.get(name.upper()) == own.get(name)


def test_names_are_those_of_a_wsgi_environment():
    found = read("Host: cars\r\nX-Request-Id:\t7 \r\naccept: a\r\nAccept: b\r\nX_Real_IP: 1\r\n")
    assert list(found.environ()) == [
        ("HTTP_HOST", "cars"),
        ("HTTP_X_REQUEST_ID", "7"),
        ("HTTP_ACCEPT", "a"),
        ("HTTP_ACCEPT", "b"),
    ]
    assert found.get("accept") == "a"
    assert found.get("nothing", "else") == "else"


def test_length_and_type_have_names_of_their_own():
    found = read("Content-Type: a/b\r\nContent-Length: 12\r\n")
    assert list(found.environ()) == []
    assert (found.typeheader, found.getheader("content-length")) == ("a/b", "12")
    del found["Content-Length"]
    assert found.get("content-length") is None


def test_line_may_end_without_a_carriage_return():
    assert read(b"Host: cars\nAccept: a\n").get("accept") == "a"


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
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "content-length twice"),
        ("Content-Length: 1\r\ncontent-length: 1\r\n", "content-length twice"),
        ("Content-Length: +1\r\n", "'\\+1'"),
        ("Content-Length: 1_0\r\n", "'1_0'"),
        ("Content-Length: -1\r\n", "'-1'"),
        ("Content-Length: \u00b2\r\n", "content-length"),
        ("Content-Length:\r\n", "content-length ''"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "transfer-encoding twice"),
        ("Transfer-Encoding: gzip, chunked\r\n", "'gzip, chunked'"),
        ("Transfer-Encoding: xchunked\r\n", "'xchunked'"),
        ("A: b\r\n" * (MOST_FIELDS + 1), "more than 100"),
    ],
)
def test_what_two_readers_may_understand_differently_is_refused(text, says):
    assert re.search(says, read(text).status)


def test_request_that_ends_before_its_fields_do_is_refused():
    assert Headers(io.BytesIO(b"Host: cars\r\n")).status == "no header field: b''"
    assert Headers().status == ""
