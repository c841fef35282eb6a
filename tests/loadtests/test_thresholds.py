"""A run fails for each limit that it missed, and says so in a line."""

from loadtests.thresholds import Outcome, Thresholds, misses

LIMITS = Thresholds()


def outcome(**changes: float) -> Outcome:
    facts = {"requests": 1000, "failures": 0, "single_images": 800, "p95_ms": 12.0, **changes}
    return Outcome(**facts)


def test_a_good_run_misses_nothing():
    assert misses(outcome(), LIMITS) == []


def test_one_failure_among_a_thousand_fails_the_run():
    (miss,) = misses(outcome(failures=1), LIMITS)
    assert miss == "1 of 1000 requests failed (0.10%); at most 0.00% may"


def test_failures_up_to_the_ratio_are_allowed():
    limits = Thresholds(max_failure_ratio=0.01)
    assert misses(outcome(failures=10), limits) == []
    assert len(misses(outcome(failures=11), limits)) == 1


def test_slow_single_images_fail_the_run():
    (miss,) = misses(outcome(p95_ms=2001), LIMITS)
    assert miss == "p95 latency of a single image is 2001 ms; the limit is 2000 ms"


def test_without_single_images_there_is_no_latency_to_judge():
    assert misses(outcome(single_images=0, p95_ms=9e9), LIMITS) == []


def test_no_requests_at_all_fail_the_run():
    assert misses(outcome(requests=0, single_images=0), LIMITS) == ["no request was made at all"]


def test_an_error_in_the_load_test_itself_fails_the_run():
    assert misses(outcome(exceptions=2), LIMITS) == ["2 errors in the load test itself"]


def test_every_miss_has_its_line():
    assert len(misses(outcome(failures=1, p95_ms=9000, exceptions=1), LIMITS)) == 3
