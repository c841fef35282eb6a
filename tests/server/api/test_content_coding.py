"""Compressed bodies: whole, bounded, and in no other coding than they say."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api import content_coding
from server.api.content_coding import coding_of, inflated
from server.errors import InvalidRequest, ProtocolError, ServingError, UnsupportedMedia

COMPRESS = {"gzip": gzip.compress, "X-GZIP": gzip.compress, "Deflate": zlib.compress}


@pytest.mark.parametrize("coding", COMPRESS)
@given(body=st.binary(max_size=300))
def test_body_comes_as_it_was(coding, body):
    assert inflated(COMPRESS[coding](body), coding, 300) == body


@pytest.mark.parametrize("coding", COMPRESS)
def test_body_may_have_as_many_bytes_as_are_allowed_and_none_more(coding):
    body = COMPRESS[coding](bytes(1000))
    assert len(inflated(body, coding, 1000)) == 1000
    with pytest.raises(ProtocolError, match="longer than 999 bytes") as error:
        inflated(body, coding, 999)
    assert error.value.status == 413


@pytest.mark.parametrize("coding", COMPRESS)
def test_body_that_is_far_too_long_is_not_inflated_whole(coding):
    body = COMPRESS[coding](bytes(2**24))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            inflated(body, coding, 2**16)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_members_of_gzip_follow_each_other_and_count_together():
    body = gzip.compress(b"a" * 600) + gzip.compress(b"b" * 600)
    assert inflated(body, "gzip", 1200) == b"a" * 600 + b"b" * 600
    with pytest.raises(ProtocolError, match="longer than 1199 bytes"):
        inflated(body, "gzip", 1199)


@given(parts=st.lists(st.binary(max_size=30), min_size=1, max_size=6), step=st.integers(1, 40))
def test_members_are_inflated_whichever_way_they_are_cut(parts, step):
    body = b"".join(map(gzip.compress, parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_coding, "STEP", step)
        assert inflated(body, "gzip", 180) == b"".join(parts)


def test_as_many_members_are_inflated_as_programs_write_and_none_more():
    most = content_coding.MOST_MEMBERS
    assert inflated(gzip.compress(b"a") * most, "gzip", 2**16) == b"a" * most
    with pytest.raises(InvalidRequest, match="more follows"):
        inflated(gzip.compress(b"") * (most + 1), "gzip", 2**16)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "none", "*"])
def test_coding_that_is_not_known_is_told_with_those_that_are(coding):
    with pytest.raises(UnsupportedMedia) as error:
        inflated(b"x", coding, 10)
    assert error.value.headers() == {"Accept-Encoding": "gzip, deflate, identity"}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(data=st.binary(min_size=1, max_size=60))
def test_any_bytes_are_inflated_or_told(coding, data):
    for body in (data, COMPRESS.get(coding, zlib.compress)(data)[:-1]):
        try:
            inflated(body, coding, 100)
        except ServingError as error:
            assert isinstance(error, InvalidRequest)
            assert error.status == 400


@pytest.mark.parametrize(
    ("given_", "coding"), [(None, ""), ("", ""), ("Identity", ""), ("gzip", "gzip"), ("BR", "BR")]
)
def test_identity_is_no_coding(given_, coding):
    assert coding_of({} if given_ is None else {"HTTP_CONTENT_ENCODING": given_}) == coding
