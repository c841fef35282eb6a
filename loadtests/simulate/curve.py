"""What one replica does at each load, request by request, as a table that a fleet can look up."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import simpy
from numpy.typing import NDArray

from loadtests.simulate.facts import Facts
from loadtests.simulate.replica import Replica, closed_loop, open_loop
from loadtests.simulate.signals import BOUNDS

STEPS = 10
"""The number of loads of the table: equal steps up to the capacity, which itself is left out."""
QUANTILES = np.linspace(0.01, 0.99, 99)
REQUESTS = 4000
"""The number of requests that are simulated at each load."""
SATURATING = 256
"""The number of callers without pause who find the capacity: enough to fill every batch."""
SLO_S = 0.25
"""The seconds within which 99 of 100 requests should be answered, as the dashboard has it."""
FIRST_S = 1.0
"""The seconds before what counts begins."""


@dataclass(frozen=True)
class Point:
    """One replica at one load."""

    latencies_s: NDArray[np.float64]
    """The quantiles of the latency."""
    queue_delays_s: NDArray[np.float64]
    """The quantiles of the wait at the engine."""
    cpu: float
    """The processors that are busy."""
    estimate: float
    """The images a second that the engine tells as its capacity; 0 while it has measured none."""

    @cached_property
    def without_waits(self) -> tuple[float, NDArray[np.float64]]:
        """The share of late requests, and that of each bucket of the wait at the engine."""
        return self.late(np.zeros(1))

    def late(self, waits_s: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the same where requests wait for ``waits_s`` more, as many for each of these."""
        latencies = self.latencies_s[:, None] + waits_s
        buckets = np.searchsorted(BOUNDS, (self.queue_delays_s[:, None] + waits_s).ravel())
        counts = np.bincount(buckets, minlength=len(BOUNDS) + 1)
        return float(np.mean(latencies > SLO_S)), counts / len(buckets)


@dataclass(frozen=True)
class Curve:
    """One replica at all loads."""

    capacity: float
    """The requests a second beyond which the queue grows without end."""
    full: Point
    """The replica while its queue is long: its latencies are those of a request that finds no
    queue."""
    points: tuple[Point, ...]
    """The replica at ``STEPS`` loads; the first one is an idle replica's."""

    def at(self, share: float) -> Point:
        """Return the replica at the load nearest to ``share`` of the capacity."""
        return self.points[min(round(share * STEPS), STEPS - 1)]


def curve_of(facts: Facts, requests: int = REQUESTS) -> Curve:
    """Return what one replica does at each load, simulated for so many requests at each."""
    capacity, full = _saturated(facts, requests)
    rates = [number / STEPS * capacity for number in range(1, STEPS)]
    points = [simulated(facts, rate, requests / rate) for rate in rates]
    idle = replace(points[0], cpu=0.0)
    full = replace(points[-1], cpu=full.cpu, estimate=full.estimate)
    return Curve(capacity, full, (idle, *points))


def simulated(facts: Facts, rate: float, seconds: float, seed: int = 1) -> Point:
    """Return one replica at ``rate`` requests a second, for ``seconds``."""
    env = simpy.Environment()
    replica = Replica(env, facts, seed)
    env.process(open_loop(env, replica, rate, seed=seed))
    return _point(env, replica, seconds)


def _saturated(facts: Facts, requests: int) -> tuple[float, Point]:
    """Return the requests a second of a replica that is never idle, and the replica then."""
    env = simpy.Environment()
    replica = Replica(env, facts)
    for _ in range(SATURATING):
        env.process(closed_loop(replica))
    seconds = requests * facts.batch_s(facts.largest_batch) / facts.largest_batch / facts.processors
    point = _point(env, replica, seconds)
    return len(replica.answers.latencies_s) / seconds, point


def _point(env: simpy.Environment, replica: Replica, seconds: float) -> Point:
    env.run(FIRST_S)
    replica.answers.clear()
    cpu_s = replica.server_cpu_s
    env.run(FIRST_S + seconds)
    return Point(
        np.quantile(replica.answers.latencies_s, QUANTILES),
        np.quantile(replica.answers.queue_delays_s, QUANTILES),
        (replica.server_cpu_s - cpu_s) / seconds,
        replica.batcher.capacity or 0.0,
    )
