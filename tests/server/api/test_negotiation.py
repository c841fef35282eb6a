"""The format that ``Accept`` asks for, by RFC 9110."""

import pytest

from server.api.negotiation import accepted_format
from server.errors import InvalidRequest, UnsupportedFormat

OFFERED = ("png", "jpeg", "webp", "npy")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, "png"),
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("image/jpeg", "jpeg"),
        ("IMAGE/WebP", "webp"),
        ("application/*", "npy"),
        ("image/jpeg, image/png", "png"),
        ("image/png;q=0.5, image/jpeg", "jpeg"),
        ("image/png;q=0.5,image/webp;q=0.7", "webp"),
        ("image/*;q=0.4, image/webp;q=0.3, */*;q=0.2", "png"),
        ("image/png;q=0, */*", "jpeg"),
        ("image/*;q=0, */*;q=0.1", "npy"),
        ("text/html,image/avif,image/webp,*/*;q=0.8", "webp"),
        ("image/webp, image/*", "webp"),
        ("*/*, image/png;q=0.5", "jpeg"),
        ("text/html, application/x-npy;q=0.001", "npy"),
    ],
)
def test_format_that_is_most_welcome_is_taken_then_the_one_named_exactly_then_the_first(
    header, name
):
    assert accepted_format(header, OFFERED) == name


@pytest.mark.parametrize(
    "header", ["text/html", "image/gif", "*/*;q=0", "image", ";q=1", ", ,", "\xff"]
)
def test_caller_who_accepts_none_is_told_what_there_is(header):
    with pytest.raises(UnsupportedFormat) as told:
        accepted_format(header, OFFERED)
    assert str(told.value) == (
        f"Accept is {header!r}; wanted image/png or image/jpeg or image/webp or application/x-npy"
    )
    assert told.value.status == 406


def test_field_that_is_too_long_is_not_read():
    assert accepted_format("image/jpeg" + " " * 990, OFFERED) == "jpeg"
    with pytest.raises(InvalidRequest, match=r"^Accept is .*; wanted at most 1000 characters$"):
        accepted_format("image/jpeg" + " " * 991, OFFERED)
