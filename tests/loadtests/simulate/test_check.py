"""Predictions are held against what was measured."""

from dataclasses import replace

import pytest

from loadtests.simulate.check import Busy, busy, busy_faults, compared, faults, table
from loadtests.simulate.report import BENCHES
from tests.loadtests.simulate.test_replica import FACTS


def measured(p99_ms):
    load = {"images_per_s": 300.0, "p50_ms": 2.0, "p99_ms": p99_ms}
    return {"facts": FACTS.saved(), "rounds": [{"loads": {"0.3": load}}]}


def test_prediction_that_is_near_is_no_fault():
    (first,) = compared(measured(10.0))
    (again,) = compared(measured(first.predicted_p99_ms * 1.1))
    assert faults([again]) == []
    assert "| 0.3 | 300 |" in table([again])


@pytest.mark.parametrize("bench", BENCHES)
def test_rate_of_callers_without_pause_is_predicted_on_every_processor(bench):
    assert busy_faults([busy(bench, seconds=2.0)]) == []


def test_rate_that_is_far_off_is_a_fault():
    assert "(+20%)" in busy_faults([Busy("here", 120.0, 100.0)])[0]


def test_prediction_that_is_far_off_is_a_fault_up_to_nine_tenths_of_the_capacity():
    (first,) = compared(measured(1000.0))
    assert "at 0.3 of the capacity" in faults([first])[0]
    assert faults([replace(first, share=0.95)]) == []
