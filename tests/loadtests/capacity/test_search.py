"""The search finds the capacity of made-up servers, of those too whose trials are disturbed."""

import random
from dataclasses import replace

import pytest

from loadtests.capacity.search import MOST_TRIALS, VOID, Search, find
from loadtests.capacity.slo import Slo
from tests.loadtests.capacity.trials import GOOD

SLO = Slo(percentile=0.99, limit_ms=100.0, refused=0.01)


def trial(rate, tail_ms=10.0, **changes):
    return replace(GOOD, rate=rate, tail_ms=tail_ms, **changes)


def queueing(capacity, work_ms=4.0):
    """Return the latency of a server whose queue grows towards ``capacity``, as a function of the
    rate: 100 ms at 0.96 of it."""

    def tail_ms(rate):
        return work_ms / (1 - rate / capacity) if rate < capacity else 10_000.0

    return tail_ms


def search_of(tail_ms, first, **settings):
    """Return the search for the capacity of a server of this latency, and the rates it tried."""
    search = Search(first, **settings)
    found = find(lambda rate: trial(rate, tail_ms(rate)), SLO, search, lambda _: None)
    return search, [each.rate for each in found.trials]


@pytest.mark.parametrize("first", [1.0, 100.0, 990.0, 3000.0])
def test_capacity_is_found_from_below_and_from_above(first):
    search, rates = search_of(queueing(1000.0), first)
    assert search.kept <= 960.0 < search.missed
    assert search.missed / search.kept <= 1.05
    assert search.has_settled
    assert len(rates) < 25


def test_both_ends_are_tried_until_two_trials_agree():
    search, rates = search_of(queueing(1000.0), 100.0)
    assert rates.count(search.kept) == 2
    assert rates.count(search.missed) == 2


@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("disturbed_ms", [1.0, 10_000.0], ids=["too good", "too bad"])
def test_one_disturbed_trial_does_not_change_the_capacity(place, disturbed_ms):
    """A verdict that is wrong leads the bisection astray, and is found out at its end."""
    quiet = queueing(1000.0)
    tried = []

    def tail_ms(rate):
        tried.append(rate)
        return disturbed_ms if len(tried) - 1 == place else quiet(rate)

    search, _ = search_of(tail_ms, 100.0)
    assert search.kept <= 960.0 < search.missed
    assert search.missed / search.kept <= 1.05


def test_capacity_is_right_most_of_the_time_when_every_tenth_trial_is_disturbed():
    quiet, right = queueing(1000.0), 0
    for seed in range(200):
        chance = random.Random(seed)
        search, _ = search_of(
            lambda rate, chance=chance: 10_000.0 if chance.random() < 0.1 else quiet(rate), 100.0
        )
        right += 0.9 * 960 < search.kept < 1.05 * 960
    assert right >= 180


def test_search_among_verdicts_by_chance_ends():
    for seed in range(50):
        chance = random.Random(seed)
        search, rates = search_of(lambda _, chance=chance: chance.choice([1.0, 1000.0]), 100.0)
        assert search.is_over
        assert len(rates) <= MOST_TRIALS


def test_search_that_took_too_many_trials_has_not_settled():
    search = Search(1.0)
    for _ in range(MOST_TRIALS):
        search.add(search.next_rate(), kept=True)
    assert search.is_over
    assert not search.has_settled


def test_server_that_keeps_the_objective_at_no_rate_has_no_capacity():
    search, rates = search_of(lambda _: 200.0, 100.0)
    assert search.kept is None
    assert min(rates) == 25.0
    assert rates.count(25.0) == 2


def test_refusals_miss_the_objective_as_late_answers_do():
    search = Search(100.0)
    found = find(
        lambda rate: trial(rate, refused=0.02 if rate > 500 else 0.01), SLO, search, lambda _: None
    )
    assert found.capacity <= 500 < search.missed


def test_trial_in_which_the_generator_was_the_limit_is_made_again():
    late = iter([True, True, False])
    told = []
    search = Search(2000.0)

    def measure(rate):
        if rate == 2000.0 and next(late, False):
            return trial(rate, tail_ms=500.0, late_ms=400.0)
        return trial(rate, queueing(10_000.0)(rate))

    found = find(measure, SLO, search, told.append)
    assert found.generator_fault == ""
    assert search.kept <= 9600 < search.missed
    assert [" void, " in line for line in told[:3]] == [True, True, False]


def test_capacity_is_refused_where_the_generator_stays_the_limit():
    search = Search(100.0)

    def measure(rate):
        return trial(rate, tail_ms=10.0 if rate < 1000 else 500.0, busy=min(1.0, rate / 1000))

    found = find(measure, SLO, search, lambda _: None)
    assert found.capacity is None
    assert "the generator took 100% of a processor" in found.generator_fault
    assert search.kept == 800.0  # that much is sure
    assert [x.rate for x in found.trials].count(1600.0) == VOID
