"""Measures the server beside ``session.run`` alone, in one run: ``make bench``.

Each round measures the raw rate at every batch size, and then each load, with the best raw rate
measured again before and after it. A ratio is the served rate over the mean of the two raw rates
around it, so that a machine that is slow for a while is slow for both. The result is the median
over the rounds. The bench needs ``wrk``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from loadtests import wrk
from loadtests.readings import MeasureError, Reading, hardware, one, save
from loadtests.serving import ROOT, Server, serving

COLUMNS = (
    "load",
    "images/s",
    "`session.run` alone",
    "ratio",
    "p50",
    "p99",
    "p99 in batches",
    "images a batch",
    "server CPU an image",
    "beyond inference",
)


LOADS = (
    wrk.Load("one PNG a request, 32 connections", 32, 1),
    wrk.Load("64 images a request as npy, 16 connections", 16, 64),
    wrk.Load("one PNG a request, 1 connection", 1, 1),
    wrk.Load(
        "one PNG a request, 8 connections, beside 4 of 512 images",
        8,
        1,
        wrk.Load("512 images a request as npy, 4 connections", 4, 512),
    ),
)


@dataclass(frozen=True)
class Result:
    """The result of one load in one round."""

    images_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_image: float
    """The CPU time of all server processes for an image, inference included, in microseconds."""
    mean_batch: float
    """The average number of images in an inference."""
    batch_ms: float
    """The average milliseconds of an inference."""
    raw_images_per_s: float
    """The mean of the best rates of ``session.run`` alone, before and after the load."""
    inference_us: float
    """The CPU time of ``session.run`` alone for an image, in batches of ``mean_batch`` images."""

    @property
    def beyond_us(self) -> float:
        """The CPU time of all server processes for an image without inference, in microseconds."""
        return self.cpu_us_per_image - self.inference_us

    @property
    def ratio(self) -> float:
        return self.images_per_s / self.raw_images_per_s

    @property
    def p99_batches(self) -> float:
        """The p99 latency as a number of inferences."""
        return self.p99_ms / self.batch_ms


def main(argv: list[str] | None = None) -> int:
    """Run the bench as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=int, default=6, help="seconds of each load (6)")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    try:
        wrk.require()
        rounds = measure(args.python, args.rounds, args.seconds)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report = summary(rounds)
    print(table(report))
    if args.save:
        command = f"python -m loadtests.bench --rounds {args.rounds} --seconds {args.seconds}"
        save(args.save, command, report)
    return 0


def measure(python: str, rounds: int, seconds: int) -> list[dict[str, Result]]:
    """Return the results of every round, by load."""
    found = []
    with serving(python) as server:
        for number in range(1, rounds + 1):
            whole = raw(python)
            around = [whole.best]
            results = {}
            for load in LOADS:
                reached = run(server, load, seconds)
                around.append(raw(python, whole).best)
                results[load.name] = beside(whole, statistics.mean(around[-2:]), reached)
            found.append(results)
            told = f"session.run alone {statistics.mean(around):,.0f} images/s"
            print(f"round {number} of {rounds}: {told}", flush=True)
    return found


def beside(whole: "Raw", best: float, reached: dict[str, float]) -> Result:
    """Return what a load ``reached``, beside the ``best`` raw rate at the same time.

    The cost of smaller batches comes from ``whole``, scaled as if all sizes had become slower or
    faster alike.
    """
    inference_us = whole.us_at(reached["mean_batch"]) * whole.best / best
    return Result(**reached, raw_images_per_s=best, inference_us=inference_us)


@dataclass(frozen=True)
class Raw:
    """The rates of ``session.run`` alone, on all CPUs."""

    best: float
    """The images a second in batches of the best size."""
    rates: dict[int, float]
    """The images a second by batch size, with as many batches in flight as the server has."""
    way: tuple[str, str]
    """The options of ``server.runtime.benchmark`` that measure the best rate again."""

    def us_at(self, rows: float) -> float:
        """Return the CPU time of an image in batches of ``rows``, in microseconds."""
        sizes = sorted(self.rates)
        rate = float(np.interp(rows, sizes, [self.rates[size] for size in sizes]))
        return len(os.sched_getaffinity(0)) * 1e6 / rate


def raw(python: str, again: Raw | None = None) -> Raw:
    """Measure ``session.run`` in a process of its own; ``again`` measures its best rate only."""
    command = [python, "-m", "server.runtime.benchmark", *(again.way if again else ())]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise MeasureError(f"the raw rate could not be measured: {ended.stderr.strip()[-500:]}")
    found = json.loads(ended.stdout)
    rates = {int(rows): rate for rows, rate in found.get("streams", {}).items()}
    return Raw(found["best"], rates, (f"--way={found['way']}", f"--rows={found['rows']}"))


def run(server: Server, load: wrk.Load, seconds: int) -> dict[str, float]:
    """Put ``load`` on ``server`` and return the measured fields of its ``Result``."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = wrk.command_for(load, Path(folder))
        if load.beside:
            others = wrk.command_for(load.beside, Path(folder))
            stack.enter_context(wrk.running([*others, f"-d{seconds + 3}s", server.url]))
        wrk.run([*command, "-d1s", server.url])  # this run warms the server up
        before = Reading.of(server)
        text = wrk.run([*command, f"-d{seconds}s", server.url])
        spent = Reading.of(server) - before
    return {
        "images_per_s": float(one(r"Requests/sec:\s+([\d.]+)", text)) * load.images,
        "p50_ms": wrk.milliseconds(one(wrk.PERCENTILE.format(50), text)),
        "p99_ms": wrk.milliseconds(one(wrk.PERCENTILE.format(99), text)),
        "cpu_us_per_image": spent.cpu_s * 1e6 / spent.images,
        "mean_batch": spent.images / spent.batches,
        "batch_ms": spent.inference_s * 1e3 / spent.batches,
    }


def summary(rounds: list[dict[str, Result]]) -> dict[str, object]:
    """Return the medians over ``rounds``, and the hardware on which they were measured."""
    loads = {}
    for load in LOADS:
        results = [found[load.name] for found in rounds]
        values = {
            key: statistics.median(asdict(r)[key] for r in results) for key in asdict(results[0])
        }
        ratios = [r.ratio for r in results]
        values["beyond_us"] = statistics.median(r.beyond_us for r in results)
        values["p99_batches"] = statistics.median(r.p99_batches for r in results)
        loads[load.name] = values | {"ratio": statistics.median(ratios), "ratios": ratios}
    return {"hardware": hardware(), "rounds": len(rounds), "loads": loads}


def table(report: dict[str, object]) -> str:
    """Return ``report`` as a table in Markdown."""
    lines = [
        f"{report['hardware']}; medians of {report['rounds']} rounds",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "| --- |" + " ---: |" * (len(COLUMNS) - 1),
    ]
    for name, values in report["loads"].items():  # type: ignore[attr-defined]
        lines.append(
            f"| {name} | {values['images_per_s']:,.0f} | {values['raw_images_per_s']:,.0f} | "
            f"{values['ratio']:.2f} | {values['p50_ms']:.1f} ms | {values['p99_ms']:.1f} ms | "
            f"{values['p99_batches']:.1f} | {values['mean_batch']:.1f} | "
            f"{values['cpu_us_per_image']:.0f} us | {values['beyond_us']:.0f} us |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
