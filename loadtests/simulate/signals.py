"""What autoscalers look at: a pod's counters, as they are scraped, and the metrics made of them.

The metrics are those of ``k8s/``: processor time from metrics-server, and the queries of
``components/keda`` and ``components/prometheus-adapter``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from loadtests.simulate import autoscaler
from loadtests.simulate.autoscaler import PodMetric
from loadtests.simulate.prometheus import Series, histogram_quantile

WINDOW_S = 60.0
"""The window of the queries' rates."""
BOUNDS = (
    *(1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4),
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
)
"""The buckets of ``carfront_queue_delay_seconds``."""
REQUESTED = 1.0
"""The processors that a pod requests, of which its utilization is told."""


class Pod:
    """A pod, what its server has counted, and what was scraped of it."""

    def __init__(self, ready_at: float) -> None:
        self.ready_at = ready_at
        self.backlog = 0.0
        """The requests that wait."""
        self.images = 0.0
        self.delays: NDArray[np.float64] = np.zeros(len(BOUNDS) + 1)
        """The requests by the bucket of their wait at the engine."""
        self.estimate = 0.0
        """The images a second that the engine tells as its capacity; 0 before the first."""
        self.cpu_s = 0.0
        self.series = Series(WINDOW_S)
        self.scraped_estimate = 0.0
        self._cpu_read: tuple[float, float] | None = None
        """When metrics-server read the pod's processor time last, and what it read."""
        self.utilization: float | None = None
        """The share of the requested processors between metrics-server's last two looks."""

    def scrape(self, now: float) -> None:
        """Have Prometheus read the server's metrics."""
        self.series.append(now, np.append(self.delays, self.images))
        self.scraped_estimate = self.estimate

    def read_cpu(self, now: float) -> None:
        """Have metrics-server read the pod's processor time."""
        if self._cpu_read:
            at, before = self._cpu_read
            self.utilization = (self.cpu_s - before) / (now - at) / REQUESTED
        self._cpu_read = now, self.cpu_s


class Seen(NamedTuple):
    """What an autoscaler looks at."""

    now: float
    pods: Sequence[Pod]
    gone: Sequence[Pod]
    """The pods that left lately, whose samples are there still."""

    @property
    def ready(self) -> list[Pod]:
        """Return the pods that serve."""
        return [pod for pod in self.pods if pod.ready_at <= self.now]

    @property
    def rates(self) -> list[NDArray[np.float64]]:
        """Return the rates of all pods that have been scraped twice, those that left too."""
        return _rates(self.now, [*self.ready, *self.gone])


class Signal(Protocol):
    """A metric of an autoscaler, with its target."""

    def proposal(self, seen: Seen) -> int | None:
        """Return the replicas that the metric asks for, None while it cannot be had."""
        ...


@dataclass(frozen=True)
class Cpu:
    """The pods' use of the processors that they request (a metric of type Resource)."""

    target: float

    def __str__(self) -> str:
        return f"CPU {self.target:.0%}"

    def proposal(self, seen: Seen) -> int | None:
        metrics = [PodMetric(pod.utilization, pod.ready_at <= seen.now) for pod in seen.pods]
        return autoscaler.resource(metrics, self.target, len(seen.pods))


@dataclass(frozen=True)
class CapacityUsed:
    """The images a second over what one replica is estimated to draw: KEDA's trigger."""

    target: float

    def __str__(self) -> str:
        return f"capacity {self.target:g}"

    def proposal(self, seen: Seen) -> int | None:
        if not seen.ready:
            return None
        images = sum(rates[-1] for rates in seen.rates)
        estimates = [pod.scraped_estimate for pod in seen.ready if pod.scraped_estimate > 0]
        value = images / (sum(estimates) / len(estimates)) if estimates else 0.0
        return autoscaler.external(value, self.target, len(seen.pods))


@dataclass(frozen=True)
class QueueDelay:
    """The 99th percentile of the wait at the engines, times the replicas: KEDA's trigger."""

    target: float

    def __str__(self) -> str:
        return f"queue delay {self.target:g} s"

    def proposal(self, seen: Seen) -> int | None:
        if not seen.ready:
            return None
        value = _delay(seen.rates) * len(seen.ready)
        return autoscaler.external(value, self.target, len(seen.pods))


@dataclass(frozen=True)
class PodsCapacityUsed:
    """Each pod's images a second over what it is estimated to draw: prometheus-adapter's metric."""

    target: float

    def __str__(self) -> str:
        return f"capacity of pods {self.target:g}"

    def proposal(self, seen: Seen) -> int | None:
        metrics = [self._of(pod, seen.now) for pod in seen.pods]
        return autoscaler.pods(metrics, self.target, len(seen.pods))

    def _of(self, pod: Pod, now: float) -> PodMetric:
        rates = _rates(now, [pod])
        used = rates[0][-1] / pod.scraped_estimate if rates and pod.scraped_estimate else 0.0
        return PodMetric(used, pod.ready_at <= now)


@dataclass(frozen=True)
class PodsQueueDelay:
    """The 99th percentile of the wait at each pod's engine: prometheus-adapter's metric."""

    target: float

    def __str__(self) -> str:
        return f"queue delay of pods {self.target:g} s"

    def proposal(self, seen: Seen) -> int | None:
        metrics = [
            PodMetric(_delay(_rates(seen.now, [pod])), pod.ready_at <= seen.now)
            for pod in seen.pods
        ]
        return autoscaler.pods(metrics, self.target, len(seen.pods))


def _rates(now: float, pods: Sequence[Pod]) -> list[NDArray[np.float64]]:
    found = (pod.series.rate(now, WINDOW_S) for pod in pods)
    return [rates for rates in found if rates is not None]


def _delay(rates: Sequence[NDArray[np.float64]]) -> float:
    """Return the 99th percentile in seconds of the waits that ``rates`` tell of, 0 without any."""
    if not rates:
        return 0.0
    delay = histogram_quantile(0.99, BOUNDS, np.sum(rates, axis=0)[:-1])
    return 0.0 if math.isnan(delay) else delay
