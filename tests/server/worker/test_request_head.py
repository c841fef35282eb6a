"""Header fields as RFC 9112 has them, and nothing else."""

import http.client
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ProtocolError
from server.worker.request_head import (
    FIELD,
    MOST_FIELDS,
    check_host,
    read_fields,
    read_request_line,
)

NAMES = st.text("abcXYZ019!#$%&'*+-.^`|~", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


def read(text):
    return read_fields(text.removesuffix("\r\n").encode("latin-1"))


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Host : cars\r\n", "line 1 "),
        (" Host: cars\r\n", "line 1 "),
        ("Host: cars\r\n and vans\r\n", "line 2 "),
        ("Host\r\n", "line 1 "),
        (": cars\r\n", "line 1 "),
        ("Ho st: cars\r\n", "line 1 "),
        ("Host: ca\0rs\r\n", "line 1 "),
        ("Host: cars\rX: y\r\n", "line 1 "),
        ("Host: cars\nX: y\r\n", "line 1 "),
        ("H\u00f6st: cars\r\n", "line 1 "),
        ("Host: cars\r\nHost: cars\r\n", "Host comes twice"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length comes twice"),
        ("Content-Length: 1\r\ncontent-length: 1\r\n", "content-length comes twice"),
        ("Content-Length: +1\r\n", "no whole number"),
        ("Content-Length: 1_0\r\n", "no whole number"),
        ("Content-Length: -1\r\n", "no whole number"),
        ("Content-Length: \u00b2\r\n", "no whole number"),
        ("Content-Length:\r\n", "no whole number"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "Transfer-Encoding comes twice"),
        ("Transfer-Encoding: gzip, chunked\r\n", "no Transfer-Encoding but chunked"),
        ("Transfer-Encoding: xchunked\r\n", "no Transfer-Encoding but chunked"),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "both Content-Length and Transfer-Encoding",
        ),
        ("A: b\r\n" * (MOST_FIELDS + 1), "more than 100"),
    ],
)
def test_what_two_readers_may_understand_differently_is_refused(text, says):
    with pytest.raises(ProtocolError, match=says):
        read(text)


def test_as_many_fields_as_may_be_are_read():
    assert len(read("".join(f"A{number}: b\r\n" for number in range(MOST_FIELDS)))) == MOST_FIELDS


@pytest.mark.parametrize("end", ["\0", "x\n"])
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


def test_text_of_a_malformed_field_is_not_told():
    with pytest.raises(ProtocolError) as refused:
        read("Host: cars\r\nAuthorization : Bearer s3cret\r\n")
    assert "s3cret" not in str(refused.value)


def test_target_is_a_path_or_a_whole_url_whose_host_counts():
    def read_line(target, method="GET"):
        line = read_request_line(f"{method} {target} HTTP/1.1".encode())
        return line.path, line.query, line.host

    assert read_line("/a%20b?c=?d") == ("/a%20b", "c=?d", None)
    assert read_line("//a//b") == ("//a//b", "", None)
    assert read_line("http://cars:80/a?b") == ("/a", "b", "cars:80")
    assert read_line("HTTPS://cars") == ("/", "", "cars")
    assert read_line("http://cars?b=c") == ("/", "b=c", "cars")
    assert read_line("*", "OPTIONS") == ("*", "", None)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /\tHTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/11", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET cars HTTP/1.1", 400),
        (b"GET ftp://cars/ HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://me@cars/a HTTP/1.1", 400),
        (b"CONNECT cars:80 HTTP/1.1", 400),
        (b"", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
    ],
)
def test_first_line_of_no_request_is_refused(line, status):
    with pytest.raises(ProtocolError) as refused:
        read_request_line(line)
    assert refused.value.status == status


def test_host_is_named_where_it_must_be():
    newer, older = (read_request_line(b"GET / HTTP/1." + x) for x in (b"1", b"0"))
    for host in ("cars", "cars:8000", "[::1]:80", "my_cars", ""):
        check_host(newer, {"HTTP_HOST": host})
    check_host(older, {})
    for fields in ({}, {"HTTP_HOST": "a,b"}, {"HTTP_HOST": "a/b"}, {"HTTP_HOST": "a b"}):
        with pytest.raises(ProtocolError, match="Host"):
            check_host(newer, fields)
