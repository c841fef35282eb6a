"""The series that are known before anything has happened: they are told from the start, with 0.

Prometheus takes a counter that appears with its first events in it for one that never rose: the
first burst of errors would be no rate at all. What is known is bounded: routes, statuses, reasons,
the formats, and the models that are served.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

from prometheus_client import Histogram
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.utils import floatToGoString

from server.observability import metrics
from server.observability.inference_statistics import FAIL, STEPS

SINGLE, BULK, ERROR, PAGE, PROBE = "single", "bulk", "error", "page", "probe"
"""The kinds of requests by how they were answered: with one image, with several, with an error,
without either, and to the probes and scrapes. Their durations are kept apart."""
ANY_ROUTE = "any"
"""The route in the durations of requests that were not answered with images."""
NO_ROUTE = "none"
"""The route of a request that no route is for."""
RESTORE = "/v1/restore"
"""The route that restores photographs, which is work of the bulk lane for as long as it takes."""
PROBES = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")

STATUSES = ("200", "400", "401", "403", "404", "413", "415", "500", "503")
DRAWING_STATUSES = (
    *("200", "304", "400", "404", "406", "413", "415", "429", "499", "500", "503", "504"),
)
UNROUTED_STATUSES = (
    *("400", "401", "403", "404", "405", "408", "413", "414", "415", "417", "431"),
    *("499", "500", "501", "503", "504", "505"),
)
SOURCES = ("images", "oip", "oip_grpc", "tfserving")
"""The interfaces that draw images, as ``carfront_images_total`` has them."""
PLANS = (
    *("tensorrt/f16", "tensorrt/f32", "cuda/f16", "cuda/f32", "openvino/bf16", "openvino/exact"),
    *("openvino/int8", "openvino/f32", "cpu/exact", "cpu/int8", "cpu/f32"),
)
"""The plans by which an engine may draw, better ones first."""
REASONS: dict[Any, tuple[str, ...]] = {
    metrics.REJECTED: ("no_room", "queue_full"),
    metrics.DROPPED: ("deadline", "client_gone", "worker_gone"),
    metrics.ENGINE_DEATHS: ("crashed", "killed", "time_limit", "ended"),
    metrics.CONNECTIONS_ENDED: (
        "idle", "slow_request", "slow_reader", "slow_end", "unread", "bodies", "full", "cut",
    ),
}  # fmt: skip

Key = tuple[str, str]
"""The kind of a series and prometheus_client's key of it."""


def of_the_server(routes: Iterable[str]) -> Iterator[Key]:
    """Yield the series of everything but models, where these are the ``routes``."""
    yield from _keys(metrics.ENGINE_RESTARTS)
    for metric, reasons in REASONS.items():
        for reason in reasons:
            yield from _keys(metric, reason)
    for pair in permutations(PLANS, 2):
        yield from _keys(metrics.FALLBACKS, *pair)
    for kind in (ERROR, PAGE, PROBE):
        yield from _keys(metrics.REQUEST_SECONDS, ANY_ROUTE, kind)
    for status in UNROUTED_STATUSES:
        yield from _keys(metrics.REQUESTS, NO_ROUTE, status)
    for route in routes:
        kinds = kinds_drawn_at(route)
        for kind in kinds:
            yield from _keys(metrics.REQUEST_SECONDS, route, kind)
        for status in statuses_at(route):
            yield from _keys(metrics.REQUESTS, route, status)


def of_a_model(name: str, version: str) -> Iterator[Key]:
    """Yield the series of one version of a model."""
    for source in SOURCES:
        yield from _keys(metrics.IMAGES, name, version, source)
    yield from _keys(metrics.EXECUTIONS, name, version)
    for outcome in (STEPS[0], FAIL):
        yield from _keys(metrics.INFERENCE_REQUESTS, name, version, outcome)
    for step in (*STEPS, FAIL):
        yield from _keys(metrics.INFERENCE_REQUEST_SECONDS, name, version, step)


def statuses_at(route: str) -> tuple[str, ...]:
    """Return the statuses of answers that a route gives, once a request has been read."""
    return DRAWING_STATUSES if kinds_drawn_at(route) else STATUSES


def kinds_drawn_at(route: str) -> tuple[str, ...]:
    """Return the kinds of answers with images that a route gives; none at other routes."""
    if "/images/<seed>" in route:
        return (SINGLE,)
    if "/grid" in route or "/morph" in route or route == RESTORE:
        return (BULK,)
    draws = route == "/v1/images" or route.endswith(("/infer", "/ModelInfer", ":predict"))
    return (SINGLE, BULK) if draws else ()


def kind_of(route: str, status: str, images: int) -> str:
    """Return the kind of a request that was answered with so many ``images``."""
    if route in PROBES:
        return PROBE
    if status >= "400":
        return ERROR
    if route == RESTORE:
        return BULK
    if not images:
        return PAGE
    return SINGLE if images == 1 else BULK


def _keys(metric: Any, *values: str) -> Iterator[Key]:
    """Yield the series of a counter or a histogram with the labels' ``values``."""
    name, labels, help_text = metric._name, list(metric._labelnames), metric._documentation
    if not isinstance(metric, Histogram):
        yield "counter", mmap_key(name, f"{name}_total", labels, list(values), help_text)
        return
    yield "histogram", mmap_key(name, f"{name}_sum", labels, list(values), help_text)
    bounds = (*metric._kwargs["buckets"], float("inf"))
    names = [*labels, "le"]
    for bound in bounds:
        given = [*values, floatToGoString(bound)]  # type: ignore[no-untyped-call]
        yield "histogram", mmap_key(name, f"{name}_bucket", names, given, help_text)
