"""Pauses grow, and end with the deadline."""

import pytest

from carfront.answers import Answer, check
from carfront.errors import TooLate, Unavailable
from carfront.retries import LONGEST_S, Attempts
from tests.clock import Clock


def longest(low, high):
    return high


def test_pauses_double_up_to_a_limit():
    attempts = Attempts(1000.0, Clock(), longest)
    pauses = [attempts.pause_s(Unavailable(503, "full")) for _ in range(9)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == LONGEST_S


def test_no_pause_ends_after_the_deadline():
    clock = Clock()
    attempts = Attempts(1.0, clock, longest)
    error = Unavailable(503, "full")
    error.retry_after_s = 1.0
    with pytest.raises(Unavailable, match="full"):
        attempts.pause_s(error)


def test_an_attempt_after_the_deadline_is_not_made():
    clock = Clock()
    attempts = Attempts(1.0, clock, longest)
    clock.now += 1.0
    with pytest.raises(TooLate, match="no answer within 1 s"):
        attempts.timeout_ms()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("-1", None)],
)
def test_retry_after_is_read_in_both_forms(text, seconds):
    with pytest.raises(Unavailable) as caught:
        check(Answer(503, {"Retry-After": text}, b"{}"))
    assert caught.value.retry_after_s == seconds
