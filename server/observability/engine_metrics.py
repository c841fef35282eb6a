"""What an engine tells of itself: what it serves, what it runs, and what waits."""

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge

from server.bundle.files import Bundle, floats_key, gradient_key
from server.observability import metrics


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
    return {metrics.MODEL_INFO.labels(*identity), metrics.PLAN_INFO.labels(*how)}


class EngineMetrics:
    """The metrics that the engine reports."""

    def __init__(self, again: bool) -> None:
        """``again`` says that this server had an engine of that number before."""
        metrics.ENGINE_RESTARTS.inc(again)
        self._served: dict[int, set[Gauge]] = {}
        """The gauges that are 1 for each served bundle, by its key; two bundles may share some."""
        self._executions: dict[int, Counter] = {}
        """The counter of the batches of each bundle that was served, by its key."""

    def death(self, cause: str) -> None:
        """Note what the engine before died of, see ``server.engine.load_notes``; "" is nothing."""
        if cause:
            metrics.ENGINE_DEATHS.labels(cause).inc()

    def serving(self, bundle: Bundle, plan: Plan, failed: Sequence[Plan]) -> None:
        """Note that a bundle is served with ``plan``, after the plans that ``failed``."""
        self._served[bundle.key] = _infos(bundle, plan)
        manifest = bundle.manifest
        self._executions[bundle.key] = metrics.EXECUTIONS.labels(manifest.name, manifest.version)
        for info in self._served[bundle.key]:
            info.set(1)
        open_now = metrics.FLOAT_IMAGES_OPEN.labels(manifest.name, manifest.version)
        open_now.set(any(open_now in infos for infos in self._served.values()))
        for wanted in failed:
            metrics.FALLBACKS.labels(wanted, plan).inc()

    def floats(self, bundle: Bundle, plan: Plan) -> None:
        """Note that float images of a bundle that is served are drawn with ``plan``."""
        identity = bundle.manifest.name, bundle.manifest.version
        how = metrics.PLAN_INFO.labels(plan.provider, plan.precision, plan.reason)
        infos = {metrics.FLOAT_IMAGES_OPEN.labels(*identity), how}
        self._served.setdefault(bundle.key, set()).update(infos)
        self._executions[floats_key(bundle.key)] = metrics.EXECUTIONS.labels(*identity)
        for info in infos:
            info.set(1)

    def gradient(self, bundle: Bundle, plan: Plan) -> None:
        """Note that the gradient of a bundle that is served is given with ``plan``."""
        how = metrics.PLAN_INFO.labels(plan.provider, plan.precision, plan.reason)
        identity = bundle.manifest.name, bundle.manifest.version
        self._served.setdefault(bundle.key, set()).add(how)
        self._executions[gradient_key(bundle.key)] = metrics.EXECUTIONS.labels(*identity)
        how.set(1)

    def retired(self, bundle: Bundle) -> None:
        """Note that a bundle is not served any more."""
        gone = self._served.pop(bundle.key, set())
        for info in gone.difference(*self._served.values()):
            info.set(0)

    def refused(self, ref: str, is_refused: bool) -> None:
        """Note whether the bundle ``ref``, as it is on the disk now, is refused."""
        metrics.MODEL_REFUSED.labels(*ref.split("/")).set(is_refused)

    def batch(self, rows: int, seconds: float, key: int) -> None:
        """Note a batch that the bundle of ``key`` ran."""
        if executions := self._executions.get(key):
            executions.inc()
        metrics.BATCH_ROWS.observe(rows)
        metrics.INFERENCE_SECONDS.observe(seconds)

    def queue_delay(self, seconds: float) -> None:
        """Note the seconds that a request waited for its first rows to run."""
        metrics.QUEUE_DELAY_SECONDS.observe(seconds)

    def dropped(self, reason: str, rows: int) -> None:
        """Note rows that left the queue without having run."""
        metrics.DROPPED.labels(reason).inc(rows)

    def queue(self, rows: int, capacity: float | None) -> None:
        """Note the rows that wait, and the capacity in rows a second; None while unknown."""
        metrics.QUEUE_ROWS.set(rows)
        metrics.CAPACITY.set(capacity or 0.0)
