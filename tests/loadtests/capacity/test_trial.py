"""What generators noted is put together: latencies count from when requests were due."""

import numpy as np
import pytest

from loadtests.capacity.orders import Notes
from loadtests.capacity.trial import Trial


def notes(count=100, rate=10.0, took_s=0.02, late_s=0.0, **changes):
    """Return notes of requests at a fixed pace, all of which went well."""
    due_s = np.arange(count) / rate
    found = Notes.of(due_s)
    found.handled_s[:] = due_s + late_s
    found.done_s[:] = due_s + late_s + took_s
    found.statuses[:] = 200
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_latency_counts_from_when_a_request_was_due_and_not_from_when_it_was_sent():
    trial = Trial.of(10.0, [notes(late_s=0.5)], 0.99)
    assert trial.p50_ms == pytest.approx(520.0)
    assert trial.late_ms == pytest.approx(500.0)


def test_percentiles_are_exact():
    found = notes()
    found.done_s[20:] = found.due_s[20:] + np.arange(1, 81) / 1000
    trial = Trial.of(10.0, [found], 0.95)
    assert trial.p50_ms == pytest.approx(40.0)
    assert trial.tail_ms == pytest.approx(76.0)


def test_warm_up_does_not_count():
    found = notes()
    found.done_s[:20] = np.nan
    found.statuses[:20] = 0
    trial = Trial.of(10.0, [found], 0.99)
    assert (trial.requests, trial.refused, trial.statuses) == (80, 0.0, {200: 80})


def test_refused_and_unanswered_requests_are_no_fast_answers():
    found = notes(took_s=0.05)
    found.statuses[20:30] = 503
    found.done_s[20:30] = found.due_s[20:30] + 0.001
    found.statuses[30:40] = 0
    found.done_s[30:40] = np.nan
    trial = Trial.of(10.0, [found], 0.99)
    assert trial.refused == pytest.approx(0.25)
    assert trial.statuses == {200: 60, 503: 10, 0: 10}
    assert trial.p50_ms == pytest.approx(50.0)


def test_generators_are_added_up_and_the_busiest_counts():
    both = notes(cpu_s=0.01, busy=0.2, compared=8), notes(cpu_s=0.03, busy=0.9, compared=7)
    trial = Trial.of(20.0, both, 0.99)
    assert trial.requests == 160
    assert trial.generator_us == pytest.approx(200.0)
    assert (trial.busy, trial.compared) == (0.9, 15)
