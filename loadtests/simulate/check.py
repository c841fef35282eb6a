"""Holds the prediction of one replica against what callers saw of a real one.

A prediction knows what steps take, see ``facts``, and nothing of the latencies with which it is
compared: those of requests at random times, as medians over the rounds. The rate of callers without
pause is predicted for the processors of ``loadtests.bench`` too.
"""

import json
import statistics
from dataclasses import dataclass
from typing import Any

import simpy

from loadtests.simulate.curve import simulated
from loadtests.simulate.facts import BENCH_SINGLES, Facts
from loadtests.simulate.replica import Replica, closed_loop
from loadtests.simulate.report import RESULTS, facts_of

WITHIN = 0.15
"""The part of the measured p99 by which the predicted one may be off."""
UP_TO = 0.9
"""The largest load, as a share of the capacity, at which that has to hold."""
WITHIN_RATE = 0.1
"""The part of the measured rate of callers without pause by which the predicted one may be off."""
BENCH_CALLERS = 32
SIMULATED_S = 60.0
P50, P99 = 49, 98
"""The places of the percentiles in the quantiles of a ``Point``."""


@dataclass(frozen=True)
class Compared:
    """One load, as it was predicted and as it was measured."""

    share: float
    images_per_s: float
    predicted_p50_ms: float
    p50_ms: float
    predicted_p99_ms: float
    p99_ms: float
    lowest_p99_ms: float
    highest_p99_ms: float

    @property
    def off(self) -> float:
        """Return by which part of the measured p99 the predicted one is off."""
        return self.predicted_p99_ms / self.p99_ms - 1


def compared(found: dict[str, Any]) -> list[Compared]:
    """Return every load of a measurement beside its prediction."""
    facts = Facts.of(found["facts"])
    return [_compared(facts, share, found["rounds"]) for share in found["rounds"][0]["loads"]]


def _compared(facts: Facts, share: str, rounds: list[dict[str, Any]]) -> Compared:
    def values(name: str) -> list[float]:
        return [each["loads"][share][name] for each in rounds]

    rate = statistics.median(values("images_per_s"))
    point = simulated(facts, rate, SIMULATED_S)
    return Compared(
        share=float(share),
        images_per_s=rate,
        predicted_p50_ms=1e3 * float(point.latencies_s[P50]),
        p50_ms=statistics.median(values("p50_ms")),
        predicted_p99_ms=1e3 * float(point.latencies_s[P99]),
        p99_ms=statistics.median(values("p99_ms")),
        lowest_p99_ms=min(values("p99_ms")),
        highest_p99_ms=max(values("p99_ms")),
    )


@dataclass(frozen=True)
class Busy:
    """The rate of callers without pause on one processor, predicted and measured."""

    bench: str
    predicted: float
    images_per_s: float

    @property
    def off(self) -> float:
        """Return by which part of the measured rate the predicted one is off."""
        return self.predicted / self.images_per_s - 1

    def __str__(self) -> str:
        rates = f"{self.images_per_s:,.0f} images/s, {self.predicted:,.0f} were predicted"
        return f"{self.bench}: {rates} ({self.off:+.0%})"


def busy(bench: str, seconds: float = 4.0) -> Busy:
    """Return a result of ``loadtests.bench`` beside its prediction."""
    load = json.loads((RESULTS / f"{bench}.json").read_text())["loads"][BENCH_SINGLES]
    env = simpy.Environment()
    replica = Replica(env, facts_of(bench))
    for _ in range(BENCH_CALLERS):
        env.process(closed_loop(replica))
    env.run(seconds)
    rate = len(replica.answers.latencies_s) / seconds
    return Busy(bench, rate, load["images_per_s"])


def busy_faults(found: list[Busy]) -> list[str]:
    """Return a text for each processor whose rate is further off than it may be."""
    return [str(each) for each in found if abs(each.off) > WITHIN_RATE]


def faults(loads: list[Compared]) -> list[str]:
    """Return a text for each load whose prediction is further off than it may be."""
    return [
        f"at {each.share:g} of the capacity p99 is {each.p99_ms:.1f} ms, "
        f"and {each.predicted_p99_ms:.1f} ms was predicted"
        for each in loads
        if each.share <= UP_TO and abs(each.off) > WITHIN
    ]


def table(loads: list[Compared]) -> str:
    """Return loads as a table in Markdown."""
    lines = [
        "| load | images/s | p50, predicted | p99 | p99, predicted | off |",
        "| ---: |" + " ---: |" * 5,
    ]
    for each in loads:
        span = f"{each.lowest_p99_ms:.1f} to {each.highest_p99_ms:.1f}"
        lines.append(
            f"| {each.share:g} | {each.images_per_s:,.0f} | {each.p50_ms:.1f} ms, "
            f"{each.predicted_p50_ms:.1f} | {each.p99_ms:.1f} ms ({span}) | "
            f"{each.predicted_p99_ms:.1f} ms | {each.off:+.0%} |"
        )
    return "\n".join(lines)
