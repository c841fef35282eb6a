"""What the soak calls a fault, and that a short one of the real server is sound."""

import json
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests import soak
from loadtests.serving import Server
from loadtests.soak import Sample, picture, sampled, verdict
from tests.servers import NO_TIMEOUTS, PYTHON


def run(engine=lambda second: 200.0, http=lambda second: 60.0, rate=lambda second: 1000.0):
    """Return the samples of 100 seconds in which memory and rate go as told."""
    sent, samples = 0.0, []
    for second in range(101):
        samples.append(Sample(second, sent, {"engine": engine(second), "http-0": http(second)}))
        sent += rate(second)
    return samples


def test_flat_run_is_sound():
    assert verdict(run()) == []


def test_growth_before_it_is_warm_is_none():
    assert verdict(run(engine=lambda second: 200.0 if second > 15 else 50.0)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"engine": lambda second: 200 + second / 5}, "engine grew from 205.9 to 218.1 MB"),
        ({"http": lambda second: 95.0}, "http-0 takes 95.0 MB, more than 90"),
        ({"engine": lambda second: 501.0}, "engine takes 501.0 MB, more than 500"),
        ({"rate": lambda second: 1000 - 5 * second}, "the rate fell from 852 to 552 images/s"),
    ],
    ids=["leak", "worker", "engine", "rate"],
)
def test_fault_is_told_with_its_numbers(changes, fault):
    assert verdict(run(**changes)) == [fault]


def test_picture_has_a_line_for_each_process_and_the_rate():
    root = ElementTree.fromstring(picture(run()))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.get("points").split()) for line in lines] == [101, 101, 100]


def test_run_that_is_over_at_once_has_a_verdict(monkeypatch):
    seconds = count()
    monkeypatch.setattr(soak, "EVERY_S", 0.0)
    monkeypatch.setattr(soak.wrk, "running", lambda command: nullcontext())
    monkeypatch.setattr(Sample, "of", lambda *_: Sample(next(seconds), 0.0, {"engine": 200.0}))
    samples = list(sampled(Server("", 0, Path()), 0.0))
    assert len(samples) == soak.FEWEST
    assert verdict(samples) == []


@pytest.mark.servers
def test_short_soak_of_the_real_server(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(soak, "EVERY_S", 0.1)
    monkeypatch.setattr(soak, "GROWTH", 3.0)  # it is not warm after so short a time
    monkeypatch.setattr(soak, "SLOWER", 0.0)
    for name, value in NO_TIMEOUTS.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "run"

    for minutes in (0.1, 1, 10):  # as many as this machine needs
        status = soak.main([f"--minutes={minutes}", "--python", PYTHON, "--save", str(out)])
        assert status == 0, capsys.readouterr().out
        report = json.loads(out.with_suffix(".json").read_text())
        if report["images"] > 0:
            break

    assert report["images"] > 0
    assert {"arbiter", "engine-0", "http-0"} <= set(report["samples"][-1]["memory_mb"])
    assert ElementTree.parse(out.with_suffix(".svg"))
