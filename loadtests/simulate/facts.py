"""What was measured of a server, from which its behaviour under any load is predicted."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_BATCH = 64
"""The largest batch on a processor, as the server has it."""
LONE_ROWS = 8
"""The most images of a batch that all threads run while no other batch runs."""
BENCH_PROCESSORS = 2
BENCH_SINGLES = "one PNG a request, 32 connections"
BENCH_ALONE = "one PNG a request, 1 connection"


@dataclass(frozen=True)
class Facts:
    """What a server takes for requests of one image and for batches, all of it processor time."""

    processors: int
    workers: int
    """The number of HTTP workers."""
    streams: int
    """The number of batches that run at a time."""
    lone_threads: int
    """The number of threads that run a batch of few images while no other batch runs."""
    largest_batch: int
    batch_seconds: dict[int, float]
    """The seconds of one thread for a batch, by its images; those between are interpolated."""
    lone_seconds: dict[int, float]
    """The seconds of each of ``lone_threads`` for a batch of few images."""
    before_s: float
    """The seconds of an HTTP worker from a request's first byte until the engine has it."""
    after_s: float
    """The seconds of an HTTP worker from the images until the answer is sent."""
    caller_s: float
    """The seconds of a caller on the same processors for a request; 0 for callers elsewhere."""
    start_s: float
    """The seconds from the start of the server until it is ready."""

    def batch_s(self, rows: int) -> float:
        """Return the seconds of one thread for a batch of ``rows`` images."""
        return at(self.batch_seconds, rows)

    def lone_s(self, rows: int) -> float:
        """Return the seconds of each thread for a batch of ``rows`` images that runs alone."""
        return at(self.lone_seconds, rows)

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Facts":
        """Return the facts that were ``saved`` as JSON."""
        tables = {
            name: {int(rows): seconds for rows, seconds in saved[name].items()}
            for name in ("batch_seconds", "lone_seconds")
        }
        return cls(**{**saved, **tables})

    @classmethod
    def load(cls, path: Path) -> "Facts":
        """Return the facts in the result of ``python -m loadtests.simulate measure``."""
        return cls.of(json.loads(path.read_text())["facts"])

    @classmethod
    def of_bench(cls, saved: dict[str, Any], start_s: float) -> "Facts":
        """Return the facts in a result of ``python -m loadtests.bench`` on two processors.

        Callers are elsewhere. What the engine takes beside inference counts as its HTTP workers'.
        """
        loads: dict[str, dict[str, float]] = saved["loads"]
        singles, alone = loads[BENCH_SINGLES], loads[BENCH_ALONE]
        batches = {
            round(load["mean_batch"]): load["mean_batch"] * load["inference_us"] / 1e6
            for load in sorted(loads.values(), key=lambda load: load["mean_batch"])
        }
        largest = max(batches)
        if largest < LARGEST_BATCH:  # beyond, a row costs as much as in the largest batch measured
            batches[LARGEST_BATCH] = batches[largest] * LARGEST_BATCH / largest
        lone_s = alone["batch_ms"] / 1e3
        row_s = batches[max(batches)] / max(batches) / BENCH_PROCESSORS
        return cls(
            processors=BENCH_PROCESSORS,
            workers=BENCH_PROCESSORS,
            streams=BENCH_PROCESSORS,
            lone_threads=BENCH_PROCESSORS,
            largest_batch=LARGEST_BATCH,
            batch_seconds=batches,
            lone_seconds={1: lone_s, LONE_ROWS: max(lone_s, LONE_ROWS * row_s)},
            before_s=singles["beyond_us"] / 2e6,
            after_s=singles["beyond_us"] / 2e6,
            caller_s=0.0,
            start_s=start_s,
        )

    def saved(self) -> dict[str, Any]:
        """Return the facts for JSON."""
        return asdict(self)


def at(table: dict[int, float], rows: float) -> float:
    """Return the value of ``table`` at ``rows``, on a line between the rows that it has."""
    sizes = sorted(table)
    return float(np.interp(rows, sizes, [table[size] for size in sizes]))
