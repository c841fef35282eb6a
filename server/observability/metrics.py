"""Every metric of the server, in one place; ``/metrics`` adds up all processes."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.bundle.files import Bundle
from server.observability import multiprocess
from server.observability.gpus import Gpus
from server.observability.process_stats import ProcessStats

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the directory of all processes' files, see ``multiprocess``."""
SLOT = "PROMETHEUS_MULTIPROC_SLOT"
"""The variable with the name of this process's files, set after the fork and before this import."""

SLO_S = 0.25
"""The objective in seconds, within which 99 of 100 requests should be answered. The dashboard warns
above it. As it is a bucket boundary, the share of requests within it is counted, not estimated."""
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, SLO_S, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The bucket boundaries, in seconds, of a whole request, up to the default request timeout."""
STEPS = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, *SECONDS)
"""The bucket boundaries, in seconds, of one step, from microseconds to a whole request's time."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


if DIRECTORY in os.environ:
    _NAME = os.environ.get(SLOT, f"pid-{os.getpid()}")
    values.ValueClass = multiprocess.value_class(Path(os.environ[DIRECTORY]), _NAME)

REGISTRY = CollectorRegistry()

REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Duration of a request, from its parsed head to its finished answer, without sending that.",
    ["method", "route", "status"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IMAGES = Counter(
    "carfront_images",
    "Images sent to callers; the source is the interface they asked at.",
    ["model", "version", "source"],
    registry=REGISTRY,
)
ENCODE_SECONDS = Histogram(
    "carfront_encode_seconds",
    "Duration of the encoding of one answer.",
    ["format"],
    buckets=STEPS,
    registry=REGISTRY,
)
QUEUE_DELAY_SECONDS = Histogram(
    "carfront_queue_delay_seconds",
    "Duration of a request's wait at the engine, until its first images run.",
    buckets=STEPS,
    registry=REGISTRY,
)
INFERENCE_SECONDS = Histogram(
    "carfront_inference_seconds",
    "Duration of one batch in ONNX Runtime.",
    buckets=STEPS,
    registry=REGISTRY,
)
BATCH_ROWS = Histogram(
    "carfront_batch_rows", "Images in one batch.", buckets=ROWS, registry=REGISTRY
)
REJECTED = Counter(
    "carfront_rejected",
    "Requests refused before any work was done.",
    ["reason"],
    registry=REGISTRY,
)
CONNECTIONS_ENDED = Counter(
    "carfront_connections_ended",
    "Connections that the server ended because of a limit.",
    ["reason"],
    registry=REGISTRY,
)
DROPPED = Counter(
    "carfront_dropped",
    "Images given up while they waited.",
    ["reason"],
    registry=REGISTRY,
)
ENGINE_RESTARTS = Counter(
    "carfront_engine_restarts",
    "Engine processes that took the place of one before, ready or not.",
    registry=REGISTRY,
)
ENGINE_DEATHS = Counter(
    "carfront_engine_deaths",
    "Engine processes that died: crashed, killed (signal 9), time_limit (the server's own), ended.",
    ["cause"],
    registry=REGISTRY,
)
FALLBACKS = Counter(
    "carfront_provider_fallbacks",
    "Providers that were tried and could not serve.",
    ["wanted", "got"],
    registry=REGISTRY,
)
QUEUE_ROWS = Gauge(
    "carfront_queue_rows",
    "Images that wait for the engines.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
CAPACITY = Gauge(
    "carfront_estimated_capacity_images_per_second",
    "Images a second of recent batches, those at least half full, of all engines together.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
MODEL_REFUSED = Gauge(
    "carfront_model_refused",
    "1 while a bundle of the model repository cannot be served as it lies there; the log says why.",
    ["model", "version"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
MODEL_INFO = Gauge(
    "carfront_model_info",
    "1 for what is served, and with what; 0 for what is served no more.",
    ["model", "version", "digest", "provider", "precision"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
PLAN_INFO = Gauge(
    "carfront_plan_info",
    "1 for how something that is served is run, and why so; 0 for how nothing is any more.",
    ["provider", "precision", "reason"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)


def exposition(engines_up: Sequence[bool], processes: Path | None = None) -> bytes:
    """Return the metrics of all processes in Prometheus's text format.

    ``engines_up`` has a flag for each engine: whether it answers the HTTP worker that is asked.
    ``processes`` is the directory in which the processes are registered; None leaves out their
    metrics.
    """
    collectors: list[Collector | CollectorRegistry] = [
        multiprocess.AllProcesses(Path(os.environ[DIRECTORY]))
        if DIRECTORY in os.environ
        else REGISTRY,
        _EnginesUp(engines_up),
        Gpus.of_this_host(),
    ]
    collectors += [ProcessStats(processes)] if processes else []
    return b"".join(generate_latest(collector) for collector in collectors)


class Plan(Protocol):
    """The part of ``server.runtime.plans.Plan`` needed here, whose module needs ONNX Runtime."""

    @property
    def provider(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def variant(self) -> str: ...


def _infos(bundle: Bundle, plan: Plan) -> set[Gauge]:
    """Return the gauges that are 1 while ``bundle`` is served with ``plan``."""
    manifest = bundle.manifest
    digest = manifest.files[manifest.variant(plan.variant).file].sha256[:12]
    identity = manifest.name, manifest.version, digest, plan.provider, plan.precision
    how = plan.provider, plan.precision, plan.reason
    return {MODEL_INFO.labels(*identity), PLAN_INFO.labels(*how)}


class _EnginesUp(Collector):
    """Collects which engines are up, as HTTP workers see them: a dead engine reports nothing."""

    def __init__(self, up: Sequence[bool]) -> None:
        self._up = up

    def collect(self) -> Iterable[Metric]:
        help_text = "1 while the engine answers the HTTP worker that is asked."
        metric = GaugeMetricFamily("carfront_engine_up", help_text, labels=["engine"])
        for number, up in enumerate(self._up):
            metric.add_metric([str(number)], up)
        yield metric


class EngineMetrics:
    """The metrics that the engine reports."""

    def __init__(self, again: bool) -> None:
        """``again`` says that this server had an engine of that number before."""
        ENGINE_RESTARTS.inc(again)
        self._served: dict[int, set[Gauge]] = {}
        """The gauges that are 1 for each served bundle, by its key; two bundles may share some."""

    def death(self, cause: str) -> None:
        """Note what the engine before died of, see ``server.engine.load_notes``; "" is nothing."""
        if cause:
            ENGINE_DEATHS.labels(cause).inc()

    def serving(self, bundle: Bundle, plan: Plan, failed: Sequence[Plan]) -> None:
        """Note that a bundle is served with ``plan``, after the plans that ``failed``."""
        self._served[bundle.key] = _infos(bundle, plan)
        for info in self._served[bundle.key]:
            info.set(1)
        for wanted in failed:
            FALLBACKS.labels(wanted, plan).inc()

    def retired(self, bundle: Bundle) -> None:
        """Note that a bundle is not served any more."""
        gone = self._served.pop(bundle.key, set())
        for info in gone.difference(*self._served.values()):
            info.set(0)

    def refused(self, ref: str, is_refused: bool) -> None:
        """Note whether the bundle ``ref``, as it is on the disk now, is refused."""
        MODEL_REFUSED.labels(*ref.split("/")).set(is_refused)

    def batch(self, rows: int, seconds: float) -> None:
        """Note a batch that ran."""
        BATCH_ROWS.observe(rows)
        INFERENCE_SECONDS.observe(seconds)

    def queue_delay(self, seconds: float) -> None:
        """Note the seconds that a request waited for its first rows to run."""
        QUEUE_DELAY_SECONDS.observe(seconds)

    def dropped(self, reason: str, rows: int) -> None:
        """Note rows that left the queue without having run."""
        DROPPED.labels(reason).inc(rows)

    def queue(self, rows: int, capacity: float | None) -> None:
        """Note the rows that wait, and the capacity in rows a second; None while unknown."""
        QUEUE_ROWS.set(rows)
        CAPACITY.set(capacity or 0.0)
