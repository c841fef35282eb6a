"""Requests are due as a Poisson process has it, and there are enough of them for a percentile."""

import numpy as np
import pytest

from loadtests.capacity.arrivals import WARM, poisson, requests_needed


@pytest.fixture
def due_s():
    return poisson(100.0, 20_000, np.random.default_rng(1))


def test_rate_is_exact_and_requests_are_in_order(due_s):
    assert len(due_s) == 20_000
    assert np.all(np.diff(due_s) >= 0)
    assert 0 <= due_s[0] < due_s[-1] < 200.0


def test_gaps_are_exponential(due_s):
    gaps_s = np.diff(due_s)
    assert np.mean(gaps_s) == pytest.approx(0.01, rel=0.01)
    assert np.std(gaps_s) == pytest.approx(0.01, rel=0.05)
    shares = [float(np.mean(gaps_s > x)) for x in (0.005, 0.01, 0.03)]
    assert shares == pytest.approx(np.exp([-0.5, -1.0, -3.0]), abs=0.02)


def test_requests_in_seconds_vary_as_their_mean(due_s):
    in_seconds = np.histogram(due_s, bins=200, range=(0, 200))[0]
    assert 0.7 < np.var(in_seconds) / np.mean(in_seconds) < 1.3


@pytest.mark.parametrize(
    ("rate", "counted"),
    [(1000.0, 5000), (10.0, 1000)],
    ids=["as long as was asked for", "longer, for the percentile"],
)
def test_trial_has_the_requests_that_its_percentile_needs(rate, counted):
    needed = requests_needed(rate, seconds=5.0, percentile=0.99, beyond=10)
    assert needed == pytest.approx(counted / (1 - WARM), abs=1)
    assert needed * (1 - WARM) * (1 - 0.99) > 9.999
