"""The bench reads wrk right, and refuses a run in which a request failed."""

import sys
from contextlib import nullcontext

import pytest

from loadtests import bench
from loadtests.bench import (
    LOADS,
    PERCENTILE,
    BenchError,
    Raw,
    Reading,
    Result,
    milliseconds,
    one,
    summary,
    table,
)


@pytest.mark.parametrize(
    ("text", "wanted"), [("950.00us", 0.95), ("1.20ms", 1.2), ("1.50s", 1500.0), ("1.00m", 60000.0)]
)
def test_latencies_are_read_in_every_unit_of_wrk(text, wanted):
    assert milliseconds(text) == pytest.approx(wanted)


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


@pytest.mark.parametrize("load", [*LOADS, LOADS[-1].beside])
def test_requests_are_lua_that_asks_for_as_many_images(load):
    assert f'"n": {load.images},' in load.script or "/v1/images/" in load.script
    assert "IMAGES" not in load.script


def test_readings_are_subtracted_one_by_one():
    spent = Reading(3.0, 500, 40, 2.0) - Reading(1.0, 100, 10, 0.5)
    assert spent == Reading(2.0, 400, 30, 1.5)


@pytest.mark.parametrize("line", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 0"])
def test_failed_request_fails_the_bench(line):
    with pytest.raises(BenchError, match="requests failed"):
        bench.wrk([sys.executable, "-c", f"print('Requests/sec: 9'); print({line!r})"])


def test_unexpected_output_is_shown():
    with pytest.raises(BenchError, match="something else than expected: hello"):
        bench.one(r"Requests/sec:\s+(\S+)", "hello")


def test_missing_wrk_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)
    assert bench.main([]) == 1
    assert "apt-get install wrk" in capsys.readouterr().err


def test_the_share_within_a_deviation_is_not_taken_for_a_percentile():
    report = """
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.0ms    3.10ms  31.0ms   91.99%
    Req/Sec     0.9k      0.1k    1.4k    71.50%
  Latency Distribution
     50%   11.00ms
     75%   13.00ms
     90%   16.00ms
     99%   21.00ms
Requests/sec:   2650.00
"""
    assert milliseconds(one(PERCENTILE.format(50), report)) == pytest.approx(11)
    assert milliseconds(one(PERCENTILE.format(99), report)) == pytest.approx(21)
