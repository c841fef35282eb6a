"""Which requests may have large bodies."""

import pytest

from server.worker.large_bodies import MAX_BODY, most_body
from server.worker.request_head import read_request_line


@pytest.mark.parametrize(
    ("line", "is_large"),
    [
        (b"POST /v1/images HTTP/1.1", True),
        (b"POST /v1/images?format=npy HTTP/1.1", True),
        (b"POST http://cars/v1/images HTTP/1.1", True),
        (b"POST /v2/models/cars/infer HTTP/1.1", True),
        (b"POST /v2/models/c%61rs/versions/2/infer HTTP/1.1", True),
        (b"GET /v1/images HTTP/1.1", False),
        (b"POST /v2/models/cars/infer/ HTTP/1.1", False),
        (b"POST /v2/models//infer HTTP/1.1", False),
        (b"POST /v2/models/cars HTTP/1.1", False),
        (b"POST /v1/models/cars:predict HTTP/1.1", True),
        (b"POST /v1/models/cars/versions/2:predict HTTP/1.1", True),
        (b"POST /v1/models/cars HTTP/1.1", False),
        (b"POST /v1/images/ HTTP/1.1", False),
        (b"POST /v1/images/7.png HTTP/1.1", False),
        (b"POST /v2/repository/index HTTP/1.1", False),
        (b"POST / HTTP/1.1", False),
        (b"OPTIONS * HTTP/1.1", False),
    ],
)
def test_only_what_may_carry_latents_has_a_large_body(line, is_large):
    assert most_body(read_request_line(line), 2**24) == (2**24 if is_large else MAX_BODY)


def test_limit_of_large_bodies_is_never_below_that_of_all():
    assert most_body(read_request_line(b"POST /v1/images HTTP/1.1"), 1) == MAX_BODY
