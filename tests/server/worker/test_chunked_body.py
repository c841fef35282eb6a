"""Bodies in chunks, in whatever pieces they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ProtocolError
from server.worker.chunked_body import LONGEST_LINE, MOST_FRAMING, ChunkedBody

MOST = 1000


def read(pieces):
    """Return the body and what is behind it, None where more must come."""
    body = ChunkedBody(MOST)
    for number, piece in enumerate(pieces):
        found = body.feed(piece)
        if found is not None:
            return found[0], found[1] + b"".join(pieces[number + 1 :])
    return None


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.sampled_from([b"", b";", b" ; a=b", b';a="\xc3\xa9"']),
    st.sampled_from([b"", b"X-A: b\r\nX-C:\r\n"]),
    st.lists(st.integers(1, 20), max_size=40),
)
def test_body_is_the_same_in_whatever_pieces_it_comes(chunks, extension, trailers, lengths):
    whole = b"".join(b"%X%s\r\n%s\r\n" % (len(x), extension, x) for x in chunks)
    whole += b"0" + extension + b"\r\n" + trailers + b"\r\n" + b"behind"
    pieces, start = [], 0
    for length in lengths:
        pieces.append(whole[start : start + length])
        start += length
    pieces.append(whole[start:])
    assert read(pieces) == (b"".join(chunks), b"behind")


@given(st.integers(0, 30))
def test_body_that_has_no_end_yet_is_waited_for(length):
    whole = b"5\r\nimage\r\n0\r\nX: y\r\n\r\n"
    assert read([whole[: min(length, len(whole) - 1)]]) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"g\r\n", 400),
        (b"\r\n", 400),
        (b"-1\r\n", 400),
        (b"+1\r\na\r\n", 400),
        (b"0x1\r\na\r\n", 400),
        (b" 1\r\na\r\n", 400),
        (b"1 \r\na\r\n", 400),
        (b"1\na\r\n", 400),
        (b"1;a=b\na\r\n", 400),
        (b"1;a\0\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"2\r\na\r\n0\r\n\r\n", 400),
        (b"1\r\na\n\n", 400),
        (b"00000000000000001\r\na\r\n", 400),
        (b"0\r\nno field\r\n\r\n", 400),
        (b"0\r\nX: y\n\r\n", 400),
        (b"0\r\nX : y\r\n\r\n", 400),
        (b"a" * (LONGEST_LINE + 1), 400),
        (b"1;" + b"a" * LONGEST_LINE + b"\r\n", 400),
        (b"1\r\na\r\n" * (MOST + 1), 413),
        (b"3E9\r\n", 413),
        (b"FFFFFFFFFFFFFFFF\r\n", 413),
        (b"0\r\n" + b"X: y\r\n" * (MOST_FRAMING // 6 + 1), 400),
    ],
)
def test_what_two_readers_may_understand_differently_is_refused(body, status):
    with pytest.raises(ProtocolError) as refused:
        read([body])
    assert refused.value.status == status


def test_body_may_be_as_long_as_it_may_be():
    assert read([b"3E8\r\n" + b"a" * MOST + b"\r\n0\r\n\r\n"]) == (b"a" * MOST, b"")
