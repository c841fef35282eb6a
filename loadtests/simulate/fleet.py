"""Replicas in a cluster, second by second: their load, what is measured of them, how many they are.

What a replica does at a load is looked up in its ``Curve``; what it cannot serve waits, and what
waits for too long is refused as the server does it. Prometheus, metrics-server and the autoscaler
look at it every 15 seconds, each at times of its own.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from loadtests.simulate.autoscaler import SYNC_S, Autoscaler
from loadtests.simulate.curve import Curve
from loadtests.simulate.processors import Steps
from loadtests.simulate.replica import DEADLINE_S, MAX_QUEUE_ROWS
from loadtests.simulate.signals import WINDOW_S, Pod, Seen, Signal
from loadtests.simulate.traffic import HOUR, Traffic
from server.admission import MARGIN

SCRAPE_S = 15.0
"""The seconds between two scrapes, of Prometheus and of metrics-server."""
SCRAPED_AT, CPU_READ_AT, SYNCED_AT = 4.0, 9.0, 0.0
"""When in each 15 seconds Prometheus, metrics-server and the autoscaler look."""
LEAVING_S = 10.0
"""The seconds for which a pod that leaves is there, and paid for, after its last request."""
MOMENTS = 5
"""The number of moments at which the wait of a queue that grows or shrinks is looked at."""


@dataclass
class Outcome:
    """What came of a load."""

    requests: float = 0.0
    late: float = 0.0
    """The requests that were answered after the objective's time, or refused."""
    refused: float = 0.0
    replica_hours: float = 0.0
    most: int = 0
    """The largest number of replicas."""
    changes: int = 0
    """How often the number of replicas was changed."""
    replicas: list[tuple[float, int]] = field(default_factory=list)
    """The number of replicas, with the time, at every sync."""

    def count(self, requests: float, late: float, refused: float) -> None:
        """Count a second's requests at one pod."""
        self.requests += requests
        self.late += late
        self.refused += refused

    @property
    def late_share(self) -> float:
        return self.late / self.requests


@dataclass(frozen=True)
class Cluster:
    """What the pods run on, and how many there may be."""

    starts_in_s: float
    """The seconds from the wish for a pod until it is asked for images."""
    least: int
    most: int


class Fleet:
    """Replicas behind a Service that gives each as many requests as the others."""

    def __init__(
        self,
        env: simpy.Environment,
        curve: Curve,
        traffic: Traffic,
        cluster: Cluster,
        scaler: Autoscaler,
        signals: Sequence[Signal],
        seed: int = 20,
    ) -> None:
        self._env = env
        self._curve = curve
        self._traffic = traffic
        self._cluster = cluster
        self._scaler = scaler
        self._signals = signals
        self._random = random.Random(seed)
        self._pods = [Pod(0.0) for _ in range(cluster.least)]
        self._gone: list[Pod] = []
        """The pods that left lately."""
        self.outcome = Outcome()
        for step, every_s, at in (
            (self._serve, traffic.every_s, 0.0),
            (self._scrape, SCRAPE_S, SCRAPED_AT),
            (self._read_cpu, SCRAPE_S, CPU_READ_AT),
            (self._sync, SYNC_S, SYNCED_AT),
        ):
            env.process(self._again(step, every_s, at))

    def _again(self, step: Callable[[float], None], every_s: float, at: float) -> Steps:
        yield self._env.timeout(at)
        while True:
            step(self._env.now)
            yield self._env.timeout(every_s)

    def _serve(self, now: float) -> None:
        """Serve the requests of the next moment."""
        seconds = self._traffic.every_s
        ready = [pod for pod in self._pods if pod.ready_at <= now]
        requests = self._traffic.at(now) * self._curve.capacity * seconds
        self.outcome.replica_hours += len(self._pods) * seconds / HOUR
        if not ready:
            self.outcome.count(requests, late=requests, refused=requests)
            return
        each = requests / len(ready)
        for pod in ready:
            self._serve_at(pod, max(0.0, self._random.gauss(each, math.sqrt(each))), seconds)

    def _serve_at(self, pod: Pod, requests: float, seconds: float) -> None:
        """Serve at ``pod`` what came in so many seconds, or have it wait, or refuse it."""
        curve, before = self._curve, pod.backlog
        served = min(before + requests, curve.capacity * seconds)
        waiting = before + requests - served
        pod.backlog = min(waiting, MAX_QUEUE_ROWS, curve.capacity * DEADLINE_S / MARGIN)
        refused = waiting - pod.backlog
        accepted = requests - refused
        if before or pod.backlog:
            point = curve.full
            waits_s = np.linspace(before, pod.backlog, MOMENTS) / curve.capacity
            late, delays = point.late(waits_s)
        else:
            point = curve.at(served / seconds / curve.capacity)
            late, delays = point.without_waits
        pod.delays += accepted * delays
        pod.images += served
        pod.cpu_s += point.cpu * seconds
        pod.estimate = point.estimate or pod.estimate
        self.outcome.count(requests, late=accepted * late + refused, refused=refused)

    def _scrape(self, now: float) -> None:
        for pod in self._pods:
            if pod.ready_at <= now:
                pod.scrape(now)
        self._gone = [pod for pod in self._gone if pod.series.rate(now, WINDOW_S) is not None]

    def _read_cpu(self, now: float) -> None:
        for pod in self._pods:
            if pod.ready_at <= now:
                pod.read_cpu(now)

    def _sync(self, now: float) -> None:
        """Have the autoscaler look, and change the number of pods."""
        current = len(self._pods)
        seen = Seen(now, self._pods, self._gone)
        proposals = [each.proposal(seen) for each in self._signals]
        wanted = self._scaler.replicas(now, current, proposals)
        self._pods += [Pod(now + self._cluster.starts_in_s) for _ in range(wanted - current)]
        if wanted < current:  # those that start go first, then the youngest
            self._pods.sort(key=lambda pod: pod.ready_at)
            self._gone += self._pods[wanted:]
            del self._pods[wanted:]
            self.outcome.replica_hours += (current - wanted) * LEAVING_S / HOUR
        self.outcome.changes += wanted != current
        self.outcome.most = max(self.outcome.most, wanted)
        self.outcome.replicas.append((now, wanted))
