"""Which signal and target keep the objective at what cost, and which ones ``k8s/`` should ship.

Every candidate is simulated under every load, on every processor that was measured. The objective
has to be kept through the steps and through the day, on all of them: 99 of 100 requests in time. A
spike of four times the load comes faster than any autoscaler; more requests may be late in it. Of
those candidates that keep all that, the one with the fewest replica hours in the day is
recommended, if that is clearly fewer than what is shipped takes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from loadtests.simulate import traffic
from loadtests.simulate.curve import Curve
from loadtests.simulate.fleet import Cluster, Fleet, Outcome
from loadtests.simulate.manifests import Shipped, shipped
from loadtests.simulate.signals import (
    CapacityUsed,
    Cpu,
    PodsCapacityUsed,
    PodsQueueDelay,
    QueueDelay,
    Signal,
)
from loadtests.simulate.traffic import Traffic

LATE = {traffic.STEPS.name: 0.01, traffic.DAY.name: 0.01, traffic.SPIKE.name: 0.06}
"""The largest share of requests that may be late, or refused. That of the spike, whose requests are
a third of all, is what is late until the replicas have doubled twice."""
GAIN = 0.05
"""The share of the replica hours that other signals have to save, or what is shipped stays."""
STARTS_IN_S = 10.0
"""The seconds until a pod serves where a node has room and the image: scheduling, the container,
the server's own start, a probe, and the Service's endpoints."""
BASE, KEDA, ADAPTER = "base", "keda", "prometheus-adapter"
CPU_TARGETS = (0.7, 1.0, 1.2, 1.3, 1.5)
CAPACITIES = (0.6, 0.7, 0.8)
DELAYS_S = (0.05, 0.1)
SPARES = (1.0, 1.3, 1.5)
"""The targets of the CPU where it is the third signal beside two that are better."""


@dataclass(frozen=True)
class Candidate:
    """Signals with targets, in the place of those that one of the autoscalers of ``k8s/`` has."""

    of: str
    """The autoscaler whose signals these might be, or "alone" for a part of KEDA's."""
    signals: tuple[Signal, ...]

    @property
    def name(self) -> str:
        """Return the signals and their targets in words."""
        return ", ".join(map(str, self.signals))


def candidates() -> Iterator[Candidate]:
    """Yield all candidates, and what is shipped if it is not among them."""
    found = [Candidate(BASE, (Cpu(target),)) for target in CPU_TARGETS]
    found += [Candidate("alone", (CapacityUsed(target),)) for target in CAPACITIES]
    found += [Candidate("alone", (QueueDelay(target),)) for target in DELAYS_S]
    found += [
        Candidate(KEDA, (CapacityUsed(capacity), QueueDelay(delay)))
        for capacity in CAPACITIES
        for delay in DELAYS_S
    ]
    found += [
        Candidate(ADAPTER, (PodsCapacityUsed(0.7), PodsQueueDelay(0.1), Cpu(spare)))
        for spare in SPARES
    ]
    found += [Candidate(name, each.signals) for name, each in shipped().items()]
    yield from dict.fromkeys(found)


def simulated(
    curve: Curve, load: Traffic, scaler: Shipped, signals: Sequence[Signal], starts_in_s: float
) -> Outcome:
    """Return what comes of a load with ``signals`` in the place of the scaler's own."""
    env = simpy.Environment()
    cluster = Cluster(starts_in_s, scaler.least, scaler.most)
    fleet = Fleet(env, curve, load, cluster, scaler.autoscaler(), signals)
    env.run(load.seconds)
    return fleet.outcome


def row(
    candidate: Candidate,
    curves: dict[str, Curve],
    loads: Sequence[Traffic] = traffic.ALL,
    starts_in_s: float = STARTS_IN_S,
) -> dict[str, Any]:
    """Return what comes of every load on every processor with a candidate's signals."""
    scaler = shipped()[candidate.of if candidate.of != "alone" else KEDA]
    return {
        "of": candidate.of,
        "signals": candidate.name,
        "outcomes": {
            processor: {
                load.name: _told(simulated(curve, load, scaler, candidate.signals, starts_in_s))
                for load in loads
            }
            for processor, curve in curves.items()
        },
    }


def rows(curves: dict[str, Curve]) -> Iterator[dict[str, Any]]:
    """Yield the row of every candidate, as soon as it is there."""
    for candidate in candidates():
        yield row(candidate, curves)


def recommended(found: Iterable[dict[str, Any]], of: str, has: str) -> str:
    """Return the signals that the autoscaler ``of`` should have, in words; empty if none will do.

    Those that it ``has`` stay if they keep the objective and no others cost clearly less.
    """
    costs = {each["signals"]: cost(each) for each in found if each["of"] == of and keeps(each)}
    best = min(costs, key=lambda signals: costs[signals], default="")
    return has if has in costs and costs[best] > (1 - GAIN) * costs[has] else best


def keeps(found: dict[str, Any]) -> bool:
    """Return whether a row's objective is kept under all loads, on all processors."""
    outcomes = found["outcomes"].values()
    return all(each[load]["late"] <= late for each in outcomes for load, late in LATE.items())


def cost(found: dict[str, Any]) -> float:
    """Return the replica hours of a day, on all processors together."""
    outcomes = found["outcomes"].values()
    return float(sum(each[traffic.DAY.name]["replica_hours"] for each in outcomes))


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "late": round(outcome.late_share, 5),
        "refused": round(outcome.refused / outcome.requests, 5),
        "replica_hours": round(outcome.replica_hours, 2),
        "most": outcome.most,
        "changes": outcome.changes,
    }
