"""What the generator of a load took itself, and whether it was the limit of what was measured."""

import os
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtests.load.record import Record
from loadtests.percentile import percentile

LOOK_S = 0.1
"""The seconds between two looks at how late the loop is."""
PER_SECOND = 10
"""The number of looks in the shortest time over which processor time is divided."""
FULL = 0.9
"""The share of a processor from which a process, which runs on one, is at its limit."""
LATE = 0.5
"""The share of the median time of a good answer from which the loop's own lateness is too much."""
LIMIT = "THE GENERATOR WAS THE LIMIT"


@dataclass
class GeneratorLoad:
    """What one process of the generator took."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    busiest: float = 0.0
    """The largest share of a processor that the process took over a second."""
    late_ms: "array[float]" = field(default_factory=lambda: array("d"))
    """How late the loop resumed what had slept: every answer's time has as much of it."""

    @property
    def share(self) -> float:
        """The share of a processor that the process took, 0 to 1."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0

    def merge(self, other: "GeneratorLoad") -> None:
        """Add what the same process took since."""
        self.cpu_s += other.cpu_s
        self.wall_s += other.wall_s
        self.busiest = max(self.busiest, other.busiest)
        self.late_ms.extend(other.late_ms)

    def packed(self) -> list[Any]:
        """Return the load as what Locust's messages can hold."""
        return [self.cpu_s, self.wall_s, self.busiest, self.late_ms.tobytes()]

    @classmethod
    def unpacked(cls, packed: list[Any]) -> "GeneratorLoad":
        """Return the load that ``packed`` was made of."""
        *figures, late = packed
        load = cls(*figures)
        load.late_ms.frombytes(late)
        return load


def watch(
    load: Callable[[], GeneratorLoad],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    cpu: Callable[[], float],
    is_over: Callable[[], bool],
) -> None:
    """Keep what this process takes in what ``load`` returns, until ``is_over``."""
    while not is_over():
        began_s, began_cpu_s = clock(), cpu()
        for _ in range(PER_SECOND):
            slept_s = clock()
            sleep(LOOK_S)
            load().late_ms.append(max(0.0, clock() - slept_s - LOOK_S) * 1e3)
        wall_s, cpu_s = clock() - began_s, cpu() - began_cpu_s
        load().merge(GeneratorLoad(cpu_s, wall_s, cpu_s / wall_s))


def told(loads: Mapping[str, GeneratorLoad], record: Record) -> list[str]:
    """Return a line on what the generator took, and another one if it was the limit."""
    seen = [load for load in loads.values() if load.wall_s]
    if not seen:
        return ["the generator: not looked at, as the run took less than a second"]
    late = array("d", [x for load in seen for x in load.late_ms])
    share = max(load.share for load in seen)
    late_ms = percentile(late, 50)
    took = sum(load.share for load in seen)
    busiest = max(load.busiest for load in seen)
    line = (
        f"the generator: {len(seen)} process{'es' * (len(seen) > 1)} with {took:.2f} of "
        f"{os.cpu_count()} processors, the busiest {share:.2f}, over a second {busiest:.2f}; "
        f"its loop was {late_ms:.2f} ms late (p50), {percentile(late, 99):.2f} ms (p99)"
    )
    good_ms = record.total().good_ms
    if share >= FULL:
        return [line, f"{LIMIT}: a process took {share:.2f} of its processor; use --processes"]
    if good_ms and late_ms >= LATE * percentile(good_ms, 50):
        own = f"its loop's lateness is {LATE:.0%} of the median time, or more"
        return [line, f"{LIMIT}: {own}; give it processors of its own, or fewer users"]
    return [line]
