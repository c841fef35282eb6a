"""Times are kept as they were measured, and refusals are counted by kind."""

import json

import numpy as np
import pytest

from loadtests.answers import Answer, Refused, WrongAnswer
from loadtests.load import report
from loadtests.load.record import MOST_KINDS, OTHERS, Outcomes, Record


def refusal(wait):
    body = json.dumps({"title": "The queue is full", "detail": f"{wait} s"}).encode()
    with pytest.raises(Refused) as found:
        Answer(503, {"retry-after": str(wait)}, body).require("image/png")
    return found.value


def test_refusals_that_differ_in_the_seconds_are_one_kind():
    outcomes = Outcomes()
    for wait in range(1, 30):
        outcomes.add(1.0, refusal(wait))
    assert outcomes.refused == {"503: The queue is full": 29}
    assert (outcomes.requests, len(outcomes.good_ms)) == (29, 0)


def test_a_server_that_is_never_wrong_twice_alike_does_not_fill_the_report():
    outcomes = Outcomes()
    for number in range(3 * MOST_KINDS):
        outcomes.add(1.0, WrongAnswer(f"fault {number}"))
    assert len(outcomes.failed) == MOST_KINDS + 1
    assert outcomes.failed[OTHERS] == 2 * MOST_KINDS
    assert outcomes.failed.total() == 3 * MOST_KINDS


def test_what_two_workers_send_is_what_one_process_would_have_counted():
    whole, parts = Record(), [Record(), Record()]
    rng = np.random.default_rng(0)
    for number, time_ms in enumerate(rng.exponential(10, 1000)):
        error = [None, None, refusal(number), WrongAnswer("x")][number % 4]
        for record in (whole, parts[number % 2]):
            record.add(f"request {number % 3}", time_ms, error)
    merged = Record()
    for part in parts:
        merged.merge(Record.unpacked(part.packed()))
    assert merged.requests == whole.requests == 1000
    for name, outcomes in whole.of.items():
        assert sorted(merged.of[name].good_ms) == sorted(outcomes.good_ms)
        assert merged.of[name].refused == outcomes.refused
        assert merged.of[name].failed == outcomes.failed


def test_the_report_has_exact_percentiles_of_good_answers_and_every_kind():
    record = Record()
    for time_ms in (0.31, 254.3, 1251.0):
        record.add("single image", time_ms, None)
    record.add("single image", 9999.0, refusal(3))
    record.add("morph", 5.0, WrongAnswer("it does not decode"))
    head, morph, single, total = report.table(record).splitlines()
    assert head.split()[:7] == ["request", "good", "refused", "late", "failed", "p50", "p95"]
    assert morph.split()[1:] == ["0", "0", "0", "1", *"-----"]
    assert single.split()[2:] == [
        "3", "1", "0", "0", "254.30", "1,251.00", "1,251.00", "1,251.00", "1,251.00",
    ]  # fmt: skip
    assert total.split()[1:5] == ["3", "1", "0", "1"]
    assert [" ".join(line.split()) for line in report.kinds(record)] == [
        "1 failed, morph: it does not decode",
        "1 refused, single image: 503: The queue is full",
    ]


def test_an_empty_run_has_a_table_too():
    assert len(report.table(Record()).splitlines()) == 1
