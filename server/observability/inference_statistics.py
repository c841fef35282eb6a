"""What was drawn for callers of inference protocols, model by model, over all processes.

The numbers are metrics: each process counts its own, and whoever is asked adds them all up.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from server.observability import metrics

STEPS = ("success", "queue", "compute_input", "compute_infer", "compute_output")
"""The steps of a request that was answered, as Triton calls them; the first is all of it."""
FAIL = "fail"


@dataclass(slots=True)
class Step:
    """How often a step was taken, and how long that took in all."""

    count: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class ModelStatistics:
    """What one version of a model has done since the server started."""

    images: int = 0
    """The images that it drew, for callers of every interface."""
    batches: int = 0
    """The batches that it ran, for callers of every interface."""
    last_at: float = 0.0
    """When the last request of an inference protocol was answered, in seconds since 1970."""
    success: Step = field(default_factory=Step)
    fail: Step = field(default_factory=Step)
    queue: Step = field(default_factory=Step)
    compute_input: Step = field(default_factory=Step)
    compute_infer: Step = field(default_factory=Step)
    compute_output: Step = field(default_factory=Step)


class InferenceCounts:
    """Counts the requests of inference protocols that this process answers."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], _Counters] = {}

    def answered(self, model: str, seconds: Iterable[float]) -> None:
        """Count a request that ``model``, ``name/version``, answered.

        ``seconds`` are those of each of ``STEPS``.
        """
        counters = self._of(model)
        counters.requests.inc()
        for counter, value in zip(counters.steps, seconds, strict=True):
            counter.inc(value)
        counters.last.set(time.time())

    def failed(self, model: str, seconds: float) -> None:
        """Count a request for ``model`` that was refused, or failed, after ``seconds``."""
        name, _, version = model.partition("/")
        metrics.INFERENCE_REQUESTS.labels(name, version, FAIL).inc()
        metrics.INFERENCE_REQUEST_SECONDS.labels(name, version, FAIL).inc(seconds)

    def _of(self, model: str) -> "_Counters":
        name, _, version = key = model.partition("/")
        found = self._counters.get(key[::2])
        if found is None:
            found = self._counters[key[::2]] = _Counters(name, version)
        return found


class _Counters:
    """The metrics of one version of a model."""

    def __init__(self, name: str, version: str) -> None:
        labels = metrics.INFERENCE_REQUEST_SECONDS.labels
        self.requests = metrics.INFERENCE_REQUESTS.labels(name, version, STEPS[0])
        self.steps = [labels(name, version, step) for step in STEPS]
        self.last = metrics.LAST_INFERENCE.labels(name, version)


def gathered() -> dict[tuple[str, str], ModelStatistics]:
    """Return what each model has done, over all processes, by its name and version."""
    found: dict[tuple[str, str], ModelStatistics] = defaultdict(ModelStatistics)
    for metric in metrics.all_processes().collect():
        _add(metric, found)
    return found


def _add(metric: Metric, found: dict[tuple[str, str], ModelStatistics]) -> None:
    for sample in metric.samples:
        labels = sample.labels
        if "model" not in labels or "version" not in labels:
            continue
        model = found[labels["model"], labels["version"]]
        if sample.name == "carfront_images_total":
            model.images += int(sample.value)
        elif sample.name == "carfront_executions_total":
            model.batches += int(sample.value)
        elif sample.name == "carfront_last_inference_timestamp_seconds":
            model.last_at = max(model.last_at, sample.value)
        elif sample.name == "carfront_inference_requests_total":
            _count(model, labels["outcome"], int(sample.value))
        elif sample.name == "carfront_inference_request_seconds_total":
            getattr(model, labels["step"]).seconds += sample.value


def _count(model: ModelStatistics, outcome: str, requests: int) -> None:
    """Count requests: each that was answered took every step."""
    for step in STEPS if outcome == STEPS[0] else (outcome,):
        getattr(model, step).count += requests
