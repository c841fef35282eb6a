"""What Prometheus reads of several processes: every known series, from the first scrape on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Histogram, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from server.observability import known_series, metrics
from server.observability.exposition import Exposition, wants_openmetrics
from server.observability.multiprocess import AllProcesses
from tests.k8s.promtool import promtool
from tests.server.observability.conftest import MODEL, ROUTES, SCRAPES

ROOT = Path(__file__).parents[3]

KNOWN = [
    'http_server_requests_total{route="/v1/images/<seed>.png",status="503"}',
    'http_server_requests_total{route="none",status="401"}',
    'http_server_request_duration_seconds_bucket{kind="error",route="any",le="0.25"}',
    'http_server_request_duration_seconds_count{kind="bulk",route="/v1/images"}',
    'carfront_rejected_total{reason="queue_full"}',
    'carfront_connections_ended_total{reason="slow_reader"}',
    'carfront_engine_deaths_total{cause="killed"}',
    "carfront_engine_restarts_total",
    'carfront_provider_fallbacks_total{got="cpu/f32",wanted="openvino/bf16"}',
    'carfront_images_total{model="cars",source="oip",version="2"}',
    'carfront_inference_requests_total{model="cars",outcome="fail",version="2"}',
]
"""Some series that are told from the start."""
OPEN, TEXT = "application/openmetrics-text", "text/plain"


@pytest.fixture
def exposition(tmp_path, monkeypatch):
    monkeypatch.setenv(metrics.DIRECTORY, str(tmp_path))
    return Exposition(ROUTES)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes values of one metric into the file of a slot."""

    def write(metric, labels, values, slot="http-0"):
        kind = "histogram" if isinstance(metric, Histogram) else "counter"
        held = MmapedDict(str(tmp_path / f"{kind}_{slot}.db"))
        for (kind, key), value in zip(known_series._keys(metric, *labels), values, strict=True):
            assert kind in held._fname
            held.write_value(key, value, 0.0)
        held.close()
        (tmp_path / f"{slot}.lock").touch()

    return write


def samples(text, parse=prometheus):
    """Return the value of each series, by its name and labels."""
    found = [x for family in parse(text.decode()) for x in family.samples]
    by_series = {(x.name, *sorted(x.labels.items())): x.value for x in found}
    assert len(by_series) == len(found)
    return by_series


def read(exposition, parse=prometheus, accept=None):
    text, _ = exposition.text([], MODEL, accept)
    return samples(text, parse)


def test_every_known_series_is_0_before_anything_has_happened(exposition):
    text, _ = exposition.text([], MODEL)
    lines = text.decode().splitlines()
    for series in KNOWN:
        assert f"{series} 0.0" in lines
    assert set(samples(text).values()) == {0}


def test_what_is_known_is_bounded(exposition):
    per_route = 2 * (len(metrics.SECONDS) + 3) + len(known_series.DRAWING_STATUSES)
    assert len(read(exposition)) <= 300 + per_route * len(ROUTES)


def test_processes_are_added_up_as_prometheus_client_does(exposition, write, tmp_path):
    buckets = [float(number) for number in range(len(metrics.SECONDS) + 2)]
    for slot in ("http-0", "http-1", "engine-0"):
        write(metrics.REQUEST_SECONDS, ("/v1/images", "bulk"), buckets, slot)
        write(metrics.REJECTED, ("queue_full",), [7.0], slot)
        write(metrics.REJECTED, ('odd "\\\n',), [3.0], slot)
    ours, theirs = read(exposition), samples(generate_latest(AllProcesses(tmp_path)))
    assert {name: ours[name] for name in theirs} == theirs
    assert not any(value for name, value in ours.items() if name not in theirs)


def test_scrapes_follow_what_is_counted_and_added_and_taken_away(exposition, write, tmp_path):
    write(metrics.REJECTED, ("queue_full",), [7.0])
    assert read(exposition)["carfront_rejected_total", ("reason", "queue_full")] == 7
    write(metrics.REJECTED, ("queue_full",), [8.0])
    write(metrics.REJECTED, ("made_up",), [2.0])
    told = read(exposition)
    assert told["carfront_rejected_total", ("reason", "queue_full")] == 8
    assert told["carfront_rejected_total", ("reason", "made_up")] == 2
    (tmp_path / "counter_http-0.db").unlink()
    write(metrics.REJECTED, ("no_room",), [1.0])  # a file of that name, with another content
    told = read(exposition)
    assert told["carfront_rejected_total", ("reason", "queue_full")] == 0
    assert told["carfront_rejected_total", ("reason", "no_room")] == 1


def test_file_that_was_made_just_now_and_one_of_a_release_with_other_words_are_read(
    exposition, tmp_path
):
    (tmp_path / "counter_http-1.db").touch()
    held = MmapedDict(str(tmp_path / "counter_http-2.db"))
    key = mmap_key("carfront_rejected", "carfront_rejected_total", ["reason"], ["no_room"], "Else.")
    held.write_value(key, 4.0, 0.0)
    held.close()
    assert read(exposition)["carfront_rejected_total", ("reason", "no_room")] == 4


def test_openmetrics_tells_since_when_each_series_has_been_counted(exposition, write, tmp_path):
    write(metrics.REJECTED, ("queue_full",), [7.0])
    os.utime(tmp_path / "http-0.lock", (1_000.5, 1_000.5))
    write(metrics.DROPPED, ("deadline",), [1.0], slot="http-1")
    told = read(exposition, openmetrics, OPEN)
    began = {name: value for name, value in told.items() if name[0].endswith("_created")}
    assert set(began.values()) == {1_000.5}
    assert ("carfront_rejected_created", ("reason", "queue_full")) in began
    labels = ("kind", "error"), ("route", "any")
    assert ("http_server_request_duration_seconds_created", *labels) in began
    assert {name: told[name] for name in told if name not in began} == read(exposition)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("*/*", False),
        (TEXT, False),
        (f"text/html, {OPEN};q=0", False),
        (f"{OPEN};version=2.0.0, {TEXT};q=0.1", False),
        (f"{OPEN}; version=1.0.0;q=0.2, {TEXT};version=0.0.4;q=0.9", False),
        (f"{OPEN};q=nonsense", False),
        (OPEN, True),
        # Prometheus 2.42, and 3.5
        (f"{OPEN};version=1.0.0,{OPEN};version=0.0.1;q=0.75,{TEXT};version=0.0.4;q=0.5", True),
        (f"{OPEN};version=1.0.0;escaping=allow-utf-8;q=0.5,{TEXT};version=1.0.0;q=0.3", True),
    ],
)
def test_openmetrics_is_for_those_who_prefer_it(accept, wanted):
    assert wants_openmetrics(accept) is wanted


@pytest.mark.parametrize("kind", [TEXT, OPEN])
def test_media_type_is_that_of_what_is_told(exposition, kind):
    text, told = exposition.text([True], MODEL, kind)
    assert told.startswith(f"{kind}; version=")
    assert text.endswith(b"# EOF\n") == (kind == OPEN)


def test_the_first_300_failures_in_a_second_are_seen_by_increase(tmp_path):
    """The scrapes of a real process, before its first failures ever and right after them."""
    env = {**os.environ, metrics.DIRECTORY: str(tmp_path / "metrics"), metrics.SLOT: "http-0"}
    done = subprocess.run(
        [sys.executable, "-c", SCRAPES], cwd=ROOT, env=env, capture_output=True, check=True
    )
    before, after = (samples(text) for text in done.stdout.split(b"--\n"))
    failed = [x for x in after if x[0] == "http_server_requests_total" and after[x] > 0]
    inputs = []
    for name, *labels in failed:
        written = ",".join(f'{key}="{value}"' for key, value in labels)
        values = [before.get((name, *labels), "_"), *[after[name, *labels]] * 20]
        inputs.append({"series": f"{name}{{{written}}}", "values": " ".join(map(str, values))})
    expression = 'sum(increase(http_server_requests_total{status="503"}[5m])) >= bool 300'
    check = {"expr": expression, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": 1}]}
    case = {"interval": "15s", "input_series": inputs, "promql_expr_test": [check]}
    rules = {"evaluation_interval": "15s", "tests": [case]}
    (tmp_path / "case.yaml").write_text(json.dumps(rules))
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "case.yaml")


def test_every_plan_is_known():
    plans = pytest.importorskip("server.runtime.plans")
    found = {
        str(plan)
        for provider in ("auto", "cuda", "tensorrt", "openvino")
        for precision in ("auto", "bf16", plans.EXACT)
        for plan in plans._known(provider, precision)
    }
    assert found <= set(known_series.PLANS)
    assert len(known_series.PLANS) == len(set(known_series.PLANS))
