"""The bench holds each load against the raw rate of the same moments."""

from contextlib import nullcontext

import pytest

from loadtests import bench
from loadtests.bench import LOADS, Raw, Result, summary, table


def results(images_per_s, raw):
    return {
        load.name: Result(images_per_s, 1.0, 2.0, 300.0, 9.0, 0.5, raw, 180.0) for load in LOADS
    }


def test_ratio_is_the_median_over_rounds_of_each_rounds_own():
    report = summary([results(100, 1000), results(300, 1000), results(100, 200)])
    load = report["loads"][LOADS[0].name]
    assert load["ratio"] == pytest.approx(0.3)
    assert load["images_per_s"] == 100
    assert load["p99_batches"] == 4
    assert "| 0.30 |" in table(report)
    assert "| 300 us | 120 us |" in table(report)


def test_inference_alone_is_read_between_the_measured_sizes(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    raw = Raw(8000.0, {1: 2000.0, 8: 4000.0, 32: 8000.0}, ())
    assert raw.us_at(8) == pytest.approx(500.0)
    assert raw.us_at(20) == pytest.approx(2e6 / 6000)
    assert raw.us_at(64) == pytest.approx(250.0)


def test_load_is_held_against_the_raw_rates_right_before_and_after_it(monkeypatch):
    """The machine becomes ten times as slow during the second load."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(bench, "serving", lambda python: nullcontext())
    served = iter((800.0, 400.0, 80.0, 80.0))
    names = ("images_per_s", "p50_ms", "p99_ms", "cpu_us_per_image", "mean_batch", "batch_ms")

    def load(server, load, seconds):
        return dict.fromkeys(names, 1.0) | {"images_per_s": next(served)}

    rates = iter((1000.0, 1000.0, 100.0, 100.0, 100.0))
    way = ("--way=streams", "--rows=32")

    def raw(python, again=None):
        assert again is None or again.way == way
        return Raw(next(rates), {} if again else {1: 1000.0}, way)

    monkeypatch.setattr(bench, "run", load)
    monkeypatch.setattr(bench, "raw", raw)
    (found,) = bench.measure("python", 1, 6)
    assert [r.ratio for r in found.values()] == pytest.approx([0.8, 400 / 550, 0.8, 0.8])
    assert [r.inference_us for r in found.values()] == pytest.approx(
        [2000.0, 2000 / 0.55, 20_000.0, 20_000.0]
    )


def test_missing_wrk_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(bench.wrk.shutil, "which", lambda name: None)
    assert bench.main([]) == 1
    assert "apt-get install wrk" in capsys.readouterr().err
