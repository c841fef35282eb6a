"""Settings are tried in turns, and what the rounds say becomes an advice."""

import json
from types import SimpleNamespace

import pytest

from loadtests import tune
from loadtests.gains import DEFAULTS, words
from loadtests.tune import Tuner, candidates
from server.config import ServerConfig

ONE = (("CARFRONT_WORKERS", "1"),)
BIG = (("CARFRONT_MAX_BATCH_SIZE", "64"),)


def variables(settings):
    return {name.removeprefix("CARFRONT_").lower(): int(value) for name, value in settings}


@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 64])
def test_candidates_are_settings_of_the_server_and_none_is_its_default(cpus, monkeypatch):
    monkeypatch.setattr("server.config.available_cpus", lambda: cpus)
    default = ServerConfig()
    found = candidates(cpus)
    assert len(set(found)) == len(found)
    for settings in found:
        config = ServerConfig(**variables(settings))
        assert (
            config.http_workers,
            config.inference_streams,
            config.inference_threads,
            config.max_batch_size,
        ) != (
            default.http_workers,
            default.inference_streams,
            default.inference_threads,
            default.max_batch_size,
        ), words(settings)


@pytest.fixture
def tried(monkeypatch):
    """The settings in the order in which their capacities were measured; ``ONE`` and ``BIG`` gain
    a tenth and a fifth."""
    order = []

    def capacity(self, settings):
        order.append(settings)
        gain = (1.1 if ONE[0] in settings else 1.0) * (1.2 if BIG[0] in settings else 1.0)
        return 1000.0 * gain

    monkeypatch.setattr(Tuner, "capacity", capacity)
    return order


def tuner(rounds):
    return Tuner(SimpleNamespace(rounds=rounds, precision=0.05), None, None)


def test_defaults_come_first_and_last_and_the_others_take_turns(tried):
    tune.rounds([ONE, BIG], tuner(rounds=3))
    assert tried == [
        *(DEFAULTS, ONE, BIG, DEFAULTS),
        *(DEFAULTS, BIG, ONE, DEFAULTS),
        *(DEFAULTS, ONE, BIG, DEFAULTS),
    ]


def test_what_gains_alone_is_tried_together(tried):
    first, second = tune.tune([ONE, BIG], tuner(rounds=2))
    assert first.best() == BIG
    assert set(second.best()) == {*ONE, *BIG}
    assert "1.32 of the defaults' capacity" in tune.advice(second)


def test_defaults_are_kept_where_gains_are_within_the_noise(tried):
    (verdict,) = tune.tune([(("CARFRONT_STREAMS", "1"),)], tuner(rounds=2))
    assert tune.advice(verdict) == (
        "keep the defaults: the largest gain, 1.00 by CARFRONT_STREAMS=1, is within the noise of "
        "5.0%"
    )


def test_command_prints_and_saves_what_it_advises(tried, tmp_path, capsys):
    settings = [f"--try={words(ONE)}", f"--try={words(BIG)}"]
    assert tune.main([*settings, "--rounds", "1", "--save", str(tmp_path / "tune.json")]) == 0
    printed = capsys.readouterr().out
    assert "| CARFRONT_WORKERS=1 | 1,100 | 1.10 | 1.10 to 1.10 |" in printed
    report = json.loads((tmp_path / "tune.json").read_text())
    assert report["advice"] == printed.splitlines()[-1]
    assert report["advice"].startswith("use CARFRONT_")
    assert report["verdicts"][0]["gains"] == {words(ONE): [1.1], words(BIG): [1.2]}


def test_settings_that_are_none_are_told(capsys):
    assert tune.main(["--try", "CARFRONT_WORKERS"]) == 2
    assert "wanted NAME=VALUE" in capsys.readouterr().err
