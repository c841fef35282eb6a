"""The command finds the capacity of the real server, and ends where it cannot."""

import json

import pytest

from loadtests.capacity import __main__ as capacity
from loadtests.capacity import meter, slo
from loadtests.capacity.search import Found, Search
from tests.loadtests.fakes import fake_server
from tests.servers import NO_TIMEOUTS, PATIENCE_S, PYTHON, SMALL_BATCHES
from tests.small_model import small_model

SHORT = ["--seconds", "0.3", "--beyond", "2", "--percentile", "80", "--precision", "50"]


def test_server_that_answers_wrong_has_no_capacity(capsys):
    with fake_server("busy") as url:
        status = capacity.main(["npy:2", "--url", url])
    assert status == 1
    assert "npy:2: 503: No" in capsys.readouterr().err


def test_what_was_found_before_ctrl_c_is_told(monkeypatch, capsys):
    def search_with(meter, *_):
        if meter.kind.images == 4:
            raise KeyboardInterrupt
        return Found(Search(100.0), [])

    monkeypatch.setattr(capacity, "search_with", search_with)
    with fake_server() as url:
        assert capacity.main(["npy:2", "npy:4", "--url", url]) == 130
    assert "\n| npy:2 | 99 % within 104 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gif:1"], "'gif:1' is no kind of request; wanted FORM:IMAGES"),
        (["--env", "CARFRONT_WORKERS"], "'CARFRONT_WORKERS' is no setting; wanted NAME=VALUE"),
    ],
)
def test_arguments_that_cannot_be_used_are_told(arguments, sentence, capsys):
    assert capacity.main(arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.servers
def test_capacity_of_the_real_server(tmp_path, monkeypatch, capsys):
    """How fast it is does not matter, nor does a generator that is slow, but each answer does."""
    monkeypatch.setattr(slo, "BUSY", float("inf"))
    monkeypatch.setattr(slo, "LATE", float("inf"))
    monkeypatch.setattr(capacity, "SETTLE_S", 0.0)
    monkeypatch.setattr(capacity, "CURVE", (0.5,))
    monkeypatch.setattr(meter, "PATIENCE_S", PATIENCE_S)
    small_model(tmp_path / "models")
    settings = {**SMALL_BATCHES, **NO_TIMEOUTS, "CARFRONT_MODELS": str(tmp_path / "models")}
    env = [f"--env={name}={value}" for name, value in settings.items()]
    kinds = ["png:1", "npy:4", "oip:4"]
    limits = ["--limit-ms", "500", "--refused", "5", "--save", str(tmp_path / "run")]

    status = capacity.main([*kinds, *limits, *SHORT, *env, "--python", PYTHON])

    printed = capsys.readouterr()
    assert status == 0, printed.err
    results = json.loads((tmp_path / "run.json").read_text())["results"]
    assert [result["kind"] for result in results] == kinds
    assert (tmp_path / "run.svg").exists()
    for result in results:
        assert result["kind"] in printed.out
        assert not result["generator_fault"]
        trials = result["trials"]
        assert sum(trial["compared"] for trial in trials) > 0
        assert set().union(*(trial["statuses"] for trial in trials)) <= {"200", "503", "504", "0"}
        assert all(trial["server_us"] > 0 for trial in trials)
        if result["settled"] and result["capacity"] is not None:  # it is on most machines
            assert result["capacity"] < result["missed"]
            assert sum(kept(result, trial) for trial in at_capacity(result)) >= 2


def at_capacity(result):
    return [x for x in result["trials"] if x["rate"] == pytest.approx(result["capacity"], rel=1e-4)]


def kept(result, trial):
    return trial["tail_ms"] <= result["slo"]["limit_ms"] and trial["refused"] <= 0.05
