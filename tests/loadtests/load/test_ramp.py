"""A ramp finds between which numbers of users the SLO breaks."""

from dataclasses import replace

import pytest

from loadtests.answers import Refused, WrongAnswer
from loadtests.load import shape
from loadtests.load.ramp import Ramp
from loadtests.load.record import Record
from loadtests.load.slo import SLO, Latency

QUICK = SLO("quick", latencies=(Latency("single image", 99, 100),), min_users=40)
RAMP = shape.load("ramp")
USERS = 100


@pytest.fixture
def ramp():
    return Ramp(RAMP, QUICK)


def climb(ramp, times_ms):
    """Have each step of a ramp end with answers that took as long; return what it says at each."""
    steps = len(RAMP.users)
    said = [ramp.is_broken(0, RAMP.users_at(0, USERS))]
    for step, time_ms in enumerate(times_ms, 1):
        if time_ms is not None:
            ramp.record.add("single image", time_ms, None)
        said.append(ramp.is_broken(step / steps, RAMP.users_at(step / steps, USERS)))
    return said


def test_the_first_step_that_misses_the_slo_is_the_breaking_point(ramp):
    assert climb(ramp, [10, 20, 30, 40, 170]) == [False] * 5 + [True]
    assert (ramp.kept, ramp.missed) == (40, 50)
    first, why = ramp.told()
    assert first == "THE BREAKING POINT: 40 users kept the SLO 'quick', 50 missed it:"
    assert why.startswith("p99 of 'single image' is 170.00 ms, 70.00 ms (70.0%) above")
    assert ramp.misses(record_of()) == []


def test_each_step_is_judged_by_its_own_answers(ramp):
    climb(ramp, [99, 99])
    assert not ramp.record.requests


def test_a_server_that_never_breaks_is_told_so(ramp):
    assert not any(climb(ramp, [10] * 10))
    assert ramp.kept == USERS
    assert "100 users kept the SLO 'quick'; ask for more with --users" in ramp.told()[0]


def test_a_step_without_an_answer_is_judged_with_the_next_one(ramp):
    assert climb(ramp, [10, None, None, 200]) == [False] * 4 + [True]
    assert (ramp.kept, ramp.missed) == (10, 40)


def test_a_step_without_an_answer_that_the_slo_judges_keeps_nothing(ramp):
    ramp.record.add("front page", 1.0, None)
    assert climb(ramp, [None, 200]) == [False, False, True]
    assert (ramp.kept, ramp.missed) == (0, 20)


def test_a_step_counts_without_an_answer_to_what_nobody_asks_for():
    sheets = Latency("sheet of 64", 99, 500)
    ramp = Ramp(RAMP, replace(QUICK, latencies=(*QUICK.latencies, sheets)))
    climb(ramp, [10, 20, 170])
    assert (ramp.kept, ramp.missed) == (20, 30)


def record_of(error=None):
    record = Record()
    record.add("single image", 1.0, error)
    return record


def test_a_ramp_that_breaks_too_early_misses_by_so_many_users(ramp):
    climb(ramp, [10, 20, 170])
    assert ramp.misses(record_of()) == ["20 users kept it, 20 fewer than the 40 that have to"]


def test_to_break_is_no_fault_but_a_wrong_answer_is_one(ramp):
    climb(ramp, [10] * 4 + [170])
    assert ramp.misses(record_of(Refused("503", 1))) == []
    assert len(ramp.misses(record_of(WrongAnswer("another byte")))) == 1
