"""Every metric of the server, in one place; ``exposition`` tells them for all processes."""

import os
from bisect import bisect_left
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.registry import Collector

from server.observability import multiprocess

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the directory of all processes' files, see ``multiprocess``."""
SLOT = "PROMETHEUS_MULTIPROC_SLOT"
"""The variable with the name of this process's files, set after the fork and before this import."""

SLO_S = 0.25
"""The objective in seconds, within which 99 of 100 requests should be answered. The dashboard warns
above it. As it is a bucket boundary, the share of requests within it is counted, not estimated."""
SECONDS = (
    *(0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06),
    *(0.08, 0.1, 0.15, 0.2, SLO_S, 0.35, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
"""The bucket boundaries, in seconds, of a whole request: no two are further apart than 1 to 1.5 up
to a second, as a quantile is known no better than its bucket."""
COARSE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, SLO_S, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The bucket boundaries, in seconds, of what is seldom looked at closely."""
STEPS = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, *COARSE)
"""The bucket boundaries, in seconds, of one step, from microseconds to a whole request's time."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


if DIRECTORY in os.environ:
    _NAME = os.environ.get(SLOT, f"pid-{os.getpid()}")
    values.ValueClass = multiprocess.value_class(Path(os.environ[DIRECTORY]), _NAME)

REGISTRY = CollectorRegistry()


class FineHistogram(Histogram):
    """A histogram that finds the bucket of many at once, where prometheus_client tries each."""

    def observe(self, amount: float, _: dict[str, str] | None = None) -> None:
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)


REQUESTS = Counter(
    "http_server_requests",
    "Requests that were answered.",
    ["route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = FineHistogram(
    "http_server_request_duration_seconds",
    "Duration of a request or call, from the arrival of its last byte to its finished answer, "
    "without sending that; of answers with one image (single) and several (bulk), errors, pages, "
    "probes.",
    ["route", "kind"],
    buckets=SECONDS,
    registry=REGISTRY,
)
REQUESTS_IN_FLIGHT = Gauge(
    "carfront_requests_in_flight",
    "Requests that HTTP workers are answering, looked at once a second.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
ACCEPT_BACKLOG = Gauge(
    "carfront_accept_backlog",
    "Connections that no HTTP worker has accepted yet, looked at once a second.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
LOOP_LAG_SECONDS = Histogram(
    "carfront_event_loop_lag_seconds",
    "How late an HTTP worker came to what it does once a second.",
    buckets=COARSE,
    registry=REGISTRY,
)
IMAGES = Counter(
    "carfront_images",
    "Images sent to callers; the source is the interface they asked at.",
    ["model", "version", "source"],
    registry=REGISTRY,
)
KEY_IMAGES = Counter(
    "carfront_key_images",
    "Images drawn for the holder of the key, by the key's name.",
    ["key"],
    registry=REGISTRY,
)
KEY_REFUSED = Counter(
    "carfront_key_refused",
    "Requests that the key did not allow: rate, in_flight, size (more than ever at once), role.",
    ["key", "reason"],
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
EXECUTIONS = Counter(
    "carfront_executions",
    "Batches that a model ran.",
    ["model", "version"],
    registry=REGISTRY,
)
INFERENCE_REQUESTS = Counter(
    "carfront_inference_requests",
    "Requests of inference protocols; the outcome is success or fail.",
    ["model", "version", "outcome"],
    registry=REGISTRY,
)
INFERENCE_REQUEST_SECONDS = Counter(
    "carfront_inference_request_seconds",
    "Seconds that such requests took: success and fail as a whole, the others a step of success.",
    ["model", "version", "step"],
    registry=REGISTRY,
)
LAST_INFERENCE = Gauge(
    "carfront_last_inference_timestamp_seconds",
    "When the last request of an inference protocol was answered, in seconds since 1970.",
    ["model", "version"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
REJECTED = Counter(
    "carfront_rejected",
    "Requests refused before any work was done.",
    ["reason"],
    registry=REGISTRY,
)
CONNECTIONS_ENDED = Counter(
    "carfront_connections_ended",
    "Connections that the server ended for a limit, or in the midst of an answer (cut).",
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
WORKER_RESTARTS = Counter(
    "carfront_worker_restarts",
    "HTTP workers, or gRPC processes, that took the place of one that crashed or was killed.",
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
FLOAT_IMAGES_OPEN = Gauge(
    "carfront_float_images_open",
    "1 while the graph of float images is open beside what is served; 0 while nobody has asked.",
    ["model", "version"],
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


def all_processes() -> Collector | CollectorRegistry:
    """Return what collects the metrics of all processes, added up."""
    if DIRECTORY in os.environ:
        return multiprocess.AllProcesses(Path(os.environ[DIRECTORY]))
    return REGISTRY
