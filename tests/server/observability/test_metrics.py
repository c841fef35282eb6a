"""Metrics of real processes that share a folder, and a name."""

import itertools
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from subprocess import PIPE

import pytest
from prometheus_client import Histogram

from server.bundle.files import load_bundle
from server.bundle.manifest import read_manifest, write_manifest
from server.config import ServerConfig
from server.observability import metrics
from server.observability.engine_metrics import EngineMetrics
from server.runtime.plans import Plan

PROGRAM = """if True:
    import sys
    from server.observability import metrics
    from server.observability.exposition import Exposition
    told = Exposition()
    metrics.DROPPED.labels("deadline").inc(int(sys.argv[1]))
    metrics.QUEUE_ROWS.set(int(sys.argv[1]))
    print(told.text([])[0].decode(), "end", sep="", flush=True)
    for word in sys.stdin:
        metrics.DROPPED.labels(word).inc(int(sys.argv[1]))
        metrics.QUEUE_ROWS.set(int(sys.argv[1]))
        print(told.text([])[0].decode(), "end", sep="", flush=True)
"""


class Process:
    """Counts by as much as it is told to."""

    def __init__(self, process):
        self._process = process
        self.told = self._read()

    def count(self, reason):
        print(reason, file=self._process.stdin, flush=True)
        self.told = self._read()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _read(self):
        told = []
        while (line := self._process.stdout.readline()) != "end\n":
            assert line, "the process failed"
            told.append(line.rstrip("\n"))
        lines = [re.fullmatch(r"carfront_(\w+)(?:{.*})? (\S+)", line) for line in told]
        values = [(line[1], float(line[2])) for line in lines if line]
        return {
            wanted: sum(value for name, value in values if name == wanted)
            for wanted in ("dropped_total", "queue_rows")
        }


def counters(folder):
    return {file.name for file in folder.iterdir() if not file.name.startswith("gauge_")}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a process of that name, which counts by so much."""
    with ExitStack() as stack:

        def begin(name, amount):
            env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
            command = [sys.executable, "-c", PROGRAM, str(amount)]
            env["PROMETHEUS_MULTIPROC_SLOT"] = name
            process = subprocess.Popen(command, env=env, stdin=PIPE, stdout=PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return Process(process)

        yield begin


def test_next_of_a_name_counts_on_in_the_files_of_the_dead_one(start, tmp_path):
    first = start("engine-0", 5)
    first.kill()
    files = set(tmp_path.iterdir())
    second = start("engine-0", 7)
    assert second.told == {"dropped_total": 12, "queue_rows": 7}
    assert set(tmp_path.iterdir()) == files


def test_two_of_a_name_that_overlap_both_count(start, tmp_path):
    old = start("engine-0", 5)
    new = start("engine-0", 7)
    old.count("deadline")
    old.count("client_gone")
    new.count("worker_gone")
    assert new.told == {"dropped_total": 5 + 7 + 5 + 5 + 7, "queue_rows": 7}
    old.kill()
    new.kill()
    files = counters(tmp_path)
    assert start("engine-0", 1).told == {"dropped_total": 30, "queue_rows": 1}
    assert counters(tmp_path) == files


def test_names_that_begin_alike_are_left_alone(start):
    start("engine-1", 5)
    start("engine-10", 7)
    assert start("engine-1", 1).told["queue_rows"] == 7 + 1
    assert start("engine-0", 2).told["queue_rows"] == 7 + 1 + 2


def test_scrape_survives_files_that_come_and_go(start, tmp_path):
    (tmp_path / "gauge_livesum_http-1.db").symlink_to(
        tmp_path / "removed"
    )  # since the folder was read
    (tmp_path / "counter_http-1.db").touch()
    assert start("engine-0", 5).told == {"dropped_total": 5, "queue_rows": 5}


PLAN = Plan("cpu", "f32")


@pytest.fixture
def engine_metrics():
    infos = metrics.MODEL_INFO, metrics.PLAN_INFO, metrics.FLOAT_IMAGES_OPEN
    for info in infos:
        info.clear()
    yield EngineMetrics(again=False)
    for info in infos:
        info.clear()


@pytest.fixture
def exported_twice(write_bundle):
    """Return two bundles of one name, version and graph, whose manifests differ."""
    folder = write_bundle()
    first = load_bundle(folder)
    write_manifest(replace(read_manifest(folder / "manifest.json"), lineage={"run": 2}), folder)
    return first, load_bundle(folder)


def values_of(info):
    (family,) = info.collect()
    return [sample.value for sample in family.samples]


def test_bundle_exported_again_is_served_when_the_one_before_retires(
    engine_metrics, exported_twice
):
    old, new = exported_twice
    assert old.key != new.key
    engine_metrics.serving(old, PLAN, [])
    engine_metrics.serving(new, PLAN, [])
    engine_metrics.retired(old)
    assert values_of(metrics.MODEL_INFO) == [1]
    engine_metrics.retired(new)
    assert values_of(metrics.MODEL_INFO) == [0]


def test_bundle_taken_back_while_it_retires_is_served_once(engine_metrics, exported_twice):
    bundle, _ = exported_twice
    engine_metrics.serving(bundle, PLAN, [])
    engine_metrics.serving(bundle, PLAN, [])
    engine_metrics.retired(bundle)
    assert values_of(metrics.MODEL_INFO) == [0]


def test_float_images_are_told_from_their_opening_until_their_bundle_retires(
    engine_metrics, exported_twice
):
    old, new = exported_twice
    engine_metrics.serving(old, PLAN, [])
    assert values_of(metrics.FLOAT_IMAGES_OPEN) == [0]
    engine_metrics.floats(old, replace(PLAN, reason="float images"))
    assert values_of(metrics.FLOAT_IMAGES_OPEN) == [1]
    assert values_of(metrics.PLAN_INFO) == [1, 1]
    engine_metrics.serving(new, PLAN, [])
    engine_metrics.floats(new, replace(PLAN, reason="float images"))
    engine_metrics.retired(old)
    assert values_of(metrics.FLOAT_IMAGES_OPEN) == [1]
    engine_metrics.retired(new)
    assert values_of(metrics.FLOAT_IMAGES_OPEN) == [0]
    assert values_of(metrics.PLAN_INFO) == [0, 0]


def test_plan_is_told_for_as_long_as_something_runs_by_it(engine_metrics, exported_twice):
    for bundle, plan in zip(exported_twice, (PLAN, replace(PLAN, reason="wanted")), strict=True):
        engine_metrics.serving(bundle, plan, [])
    assert values_of(metrics.PLAN_INFO) == [1, 1]
    engine_metrics.retired(exported_twice[0])
    assert values_of(metrics.PLAN_INFO) == [0, 1]


def test_every_engine_process_after_the_first_counts_as_a_restart_at_once():
    def restarts():
        return metrics.REGISTRY.get_sample_value("carfront_engine_restarts_total")

    before = restarts()
    EngineMetrics(again=False)
    assert restarts() == before
    EngineMetrics(again=True)
    assert restarts() == before + 1
    assert "ready or not" in metrics.ENGINE_RESTARTS._documentation


SECONDS = [
    metric
    for metric in vars(metrics).values()
    if isinstance(metric, Histogram) and metric._name.endswith("_seconds")
]


@pytest.mark.parametrize("histogram", SECONDS, ids=lambda histogram: histogram._name)
def test_buckets_hold_the_objective_and_all_that_a_request_may_wait(histogram):
    buckets = histogram._kwargs["buckets"]
    assert metrics.SLO_S in buckets
    assert buckets[-1] >= ServerConfig().request_timeout_s
    assert list(buckets) == sorted(set(buckets))


def test_a_quantile_of_requests_is_known_to_half_as_much_again_up_to_a_second():
    buckets = metrics.SECONDS
    steps = itertools.pairwise(buckets)
    assert buckets[0] == 0.001
    assert buckets[-1] == 60
    assert all(high <= low * 1.5 * (1 + 1e-9) for low, high in steps if high <= 1)


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.001, 0.0011, 0.25, 59.9, 60.0, 61.0])
def test_a_duration_lies_in_the_bucket_that_prometheus_client_chooses(seconds):
    ours = metrics.FineHistogram("a", "", buckets=metrics.SECONDS, registry=None)
    theirs = Histogram("a", "", buckets=metrics.SECONDS, registry=None)
    ours.observe(seconds)
    theirs.observe(seconds)
    assert buckets_of(ours) == buckets_of(theirs)


def buckets_of(histogram):
    (family,) = histogram.collect()
    return [x[:3] for x in family.samples if not x.name.endswith("_created")]
