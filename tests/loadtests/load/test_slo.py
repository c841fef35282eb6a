"""A run misses an SLO in sentences that say by how much."""

import pytest

from loadtests.answers import Late, Refused, WrongAnswer
from loadtests.load import slo
from loadtests.load.named_files import BadFile, names
from loadtests.load.record import Record
from loadtests.load.slo import SLO, SLOS, Latency, misses, not_judged

FULL = Refused("503: The queue is full", 1)


def record_of(good=(), **faults):
    """Return a record of single images: the times of good ones, and the number of each error."""
    record = Record()
    for time_ms in good:
        record.add("single image", time_ms, None)
    kinds = {"refused": FULL, "late": Late("504"), "failed": WrongAnswer("another byte")}
    for name, count in faults.items():
        for _ in range(count):
            record.add("single image", 1.0, kinds[name])
    return record


def test_a_good_run_misses_nothing():
    assert misses(record_of([5.0] * 1000), slo.load("default")) == []


def test_one_wrong_answer_in_thousands_is_a_miss_and_told_with_its_share():
    (miss,) = misses(record_of([5.0] * 1999, failed=1), slo.load("default"))
    assert miss == "1 of 2,000 requests failed (0.050%), 1 more than the 0 (0.000%) that may"


@pytest.mark.parametrize(("refused", "says"), [(2, []), (3, ["3 of 2,000 requests were refused"])])
def test_a_small_share_of_honest_refusals_is_no_failure_by_itself(refused, says):
    found = misses(record_of([5.0] * (2000 - refused), refused=refused), slo.load("default"))
    assert [miss[: len(says[0])] for miss in found] == says


def test_most_may_be_refused_where_overload_is_meant_but_nothing_may_be_wrong():
    overload = slo.load("overload")
    assert misses(record_of([5.0] * 100, refused=900), overload) == []
    assert len(misses(record_of([5.0] * 100, refused=900, failed=1), overload)) == 1
    assert len(misses(record_of([5.0] * 10, refused=990), overload)) == 1


def test_a_late_answer_is_judged_apart_from_a_refused_one():
    patient = SLO("own", max_refused_share=1)
    (miss,) = misses(record_of([5.0] * 9, late=1), patient)
    assert miss.startswith("1 of 10 requests were late (10.000%)")


def test_a_percentile_is_judged_by_exact_times_and_told_by_how_much_it_is_over():
    limits = SLO("own", latencies=(Latency("single image", 99, 250),))
    assert misses(record_of([*[1.0] * 99, 1251.0]), limits) == []  # the 99th of 100
    (miss,) = misses(record_of([*[1.0] * 98, 250.4, 1251.0]), limits)
    assert miss == "p99 of 'single image' is 250.40 ms, 0.40 ms (0.2%) above 250 ms"


def test_the_time_of_a_refusal_is_none_of_an_answer():
    limits = SLO("own", max_refused_share=1, latencies=(Latency("single image", 50, 4),))
    assert len(misses(record_of([5.0], refused=99), limits)) == 1


def test_a_limit_that_nothing_was_measured_for_is_told():
    limits = SLO("own", max_refused_share=1, latencies=(Latency("single image", 99, 1),))
    assert misses(record_of(refused=3), limits) == []
    assert not_judged(record_of(refused=3), limits) == [
        "p99 of 'single image' has a limit, but no good answer"
    ]
    assert not_judged(record_of([5.0]), limits) == []


def test_no_requests_at_all_are_a_miss():
    assert misses(Record(), slo.load("default")) == ["no request was made at all"]


def test_every_miss_has_its_line():
    found = misses(record_of([9000.0], failed=1, refused=1, late=1), slo.load("default"))
    assert len(found) == 4


def test_limits_of_the_command_line_take_the_place_of_the_files():
    default = slo.load("default")
    changed = default.with_limits(0.5, Latency("single image", 95, 40))
    assert (changed.max_failed_share, changed.max_refused_share) == (0.5, 0.001)
    assert changed.latencies == (Latency("single image", 95, 40),)
    assert default.with_limits(None, None) == default


@pytest.mark.parametrize("name", names(SLOS))
def test_every_shipped_slo_reads_and_allows_no_wrong_answer(name):
    assert slo.load(name).max_failed_share == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_refused_share = 5", "max_refused_share is 5; wanted a share"),
        ("max_refused_share = true", "is True; wanted int or float"),
        ("max_refusd_share = 1", "nobody knows max_refusd_share"),
        ("min_users = 0.5", "min_users is 0.5; wanted int"),
        ('[[latency]]\nrequest = "x"\npercentile = 99', "max_ms is None"),
        ('[[latency]]\nrequest = "x"\npercentile = 0\nmax_ms = 1', "percentile is 0"),
        ('[[latency]]\nrequest = "x"\npercentile = 9\nmax_ms = 1\nunit = "s"', "nobody knows unit"),
    ],
)
def test_a_bad_file_is_refused_in_words(tmp_path, text, says):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(BadFile, match=says):
        slo.load(str(path))
