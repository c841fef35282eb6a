"""When an objective is kept, and when a trial says nothing because the generator was the limit."""

from dataclasses import replace

import pytest

from loadtests.capacity.slo import BUSY, Slo
from tests.loadtests.capacity.trials import GOOD

SLO = Slo(percentile=0.99, limit_ms=100.0, refused=0.001)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"tail_ms": 100.0, "refused": 0.001}, True),
        ({"tail_ms": 100.1}, False),
        ({"refused": 0.0011}, False),
    ],
)
def test_objective_is_a_limit_of_the_latency_and_of_the_refusals(changes, kept):
    assert SLO.is_kept(replace(GOOD, **changes)) is kept


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"busy": BUSY + 0.05}, "the generator took 85% of a processor, 80% is the most"),
        ({"late_ms": 10.1}, "99 % of the requests left within 10.1 ms, not 10 ms"),
    ],
)
def test_generator_that_was_busy_or_late_is_the_limit_of_a_missed_trial_alone(changes, fault):
    assert SLO.generator_fault(replace(GOOD, **changes)) == ""
    assert SLO.generator_fault(replace(GOOD, **changes, tail_ms=200.0)) == fault


def test_generator_is_no_excuse_for_a_server_that_was_slow():
    assert SLO.generator_fault(replace(GOOD, tail_ms=200.0, busy=BUSY, late_ms=10.0)) == ""


def test_objective_is_told_in_words():
    assert str(Slo(0.999, 50.0, 0.005)) == "99.9 % within 50 ms, 0.5 % refused at most"
