"""What was found stands in a table, in JSON and in curves; what was not found stands there too."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from loadtests.capacity.curves import latencies
from loadtests.capacity.kinds import Kind
from loadtests.capacity.report import COLUMNS, Result, save, table
from loadtests.capacity.search import Found, Search, find
from loadtests.capacity.slo import Slo
from tests.loadtests.capacity.trials import GOOD

SLO = Slo(percentile=0.99, limit_ms=100.0, refused=0.001)


def measure(rate):
    return replace(GOOD, rate=rate, tail_ms=10.0 if rate <= 800 else 150.0, server_us=900.0)


@pytest.fixture
def found():
    search = find(measure, SLO, Search(100.0), lambda _: None)
    return Result(Kind("npy", 16), SLO, 4.0, search, [measure(80.0)])


def row(result):
    return table([result]).splitlines()[-1]


def test_row_tells_the_capacity_and_what_it_cost(found):
    told = row(found)
    assert told.startswith(
        "| npy:16 | 99 % within 100 ms, 0.1 % refused at most | 800 | 12,800 | 835 | "
    )
    assert told.endswith("| 5.0 ms | 10.0 ms | 900 us | 50 us | 0.1 ms |")
    assert told.count("|") == len(COLUMNS) + 1


def test_row_says_why_there_is_no_capacity(found):
    none = replace(found, idle_ms=140.0, found=Found(Search(100.0), []))
    assert "none: idle it takes 140.0 ms" in row(none)
    found.found.generator_fault = "the generator took 99% of a processor, 80% is the most"
    assert "at least 800: the generator took 99% of a processor" in row(found)
    assert {row(none).count("|"), row(found).count("|")} == {len(COLUMNS) + 1}


def test_row_says_when_the_search_has_not_settled(found):
    for _ in range(40):
        found.found.search.add(100.0, kept=True)
    assert "| unsettled: 800 |" in row(found)


def test_curve_goes_on_to_twice_the_limit_without_void_trials(found):
    found.curve += [replace(measure(1700.0), tail_ms=201.0), measure(900.0)]
    found.curve.append(replace(measure(850.0), late_ms=50.0))
    rates, middles, tails = latencies(found)
    assert rates[0] == 80.0
    assert rates[-1] == 1600.0
    assert 850.0 not in rates
    assert sorted(set(rates)) == rates
    assert set(tails) == {10.0, 150.0}
    assert set(middles) == {5.0}


def test_what_is_saved_has_its_command_machine_and_commit_and_a_small_picture(found, tmp_path):
    save(tmp_path / "new" / "run", "python -m loadtests.capacity npy:16", [found])
    facts = json.loads((tmp_path / "new" / "run.json").read_text())
    assert facts["command"] == "python -m loadtests.capacity npy:16"
    assert {"hardware", "commit", "date"} <= facts.keys()
    (result,) = facts["results"]
    assert (result["kind"], result["capacity"], result["settled"]) == ("npy:16", 800.0, True)
    assert result["missed"] == pytest.approx(835.0, rel=0.01)
    assert len(result["trials"]) == len(found.found.trials)
    assert result["curve"][0]["rate"] == 80.0
    picture = tmp_path / "new" / "run.svg"
    texts = {"".join(x.itertext()) for x in ElementTree.parse(picture).iter() if "text" in x.tag}
    assert {"npy:16", "latency, ms"} <= texts
    assert picture.stat().st_size < 40_000
