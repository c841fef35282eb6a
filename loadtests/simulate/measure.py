"""Measures one replica: what its steps take, and what callers see of it at random times.

The callers run on the server's own processors. What they take is measured, and told with the
result. Loads are shares of the capacity, which is measured in each round before them: a machine
that is slow for a while is slow for both.
"""

import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.percentile import percentile
from loadtests.readings import MeasureError
from loadtests.serving import ROOT, Server, get, serving
from loadtests.simulate.facts import LARGEST_BATCH, LONE_ROWS, Facts, at
from loadtests.simulate.poisson import Callers, Load

SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
"""The loads as shares of the capacity."""
SATURATING = 64
"""The number of callers without pause who find the capacity."""
WARM_S = 4.0
"""The seconds after the start in which a server opens its other sessions."""
ONE_SESSION, STREAMS = "one_session", "streams"
"""The ways of ``server.runtime.benchmark`` to use the processors."""
SINGLES = r'kind="single",route="/v1/images/<seed>.png"'
LATENTS = """
import timeit
from server.bundle.latents import latents
print(1e3 * min(timeit.repeat(lambda: latents([7], 100), number=1000, repeat=5)) / 1000)
"""


@dataclass(frozen=True)
class Counters:
    """The server's own counters, or the difference of two."""

    images: float
    batches: float
    inference_s: float
    request_s: float
    requests: float
    worker_cpu_s: float
    engine_cpu_s: float

    @classmethod
    def of(cls, server: Server) -> "Counters":
        """Read ``server`` now."""
        text = get(f"{server.url}/metrics").decode()
        whole = rf"http_server_request_duration_seconds_{{}}{{{{{SINGLES}}}}}"
        return cls(
            _sum(text, "carfront_batch_rows_sum"),
            _sum(text, "carfront_batch_rows_count"),
            _sum(text, "carfront_inference_seconds_sum"),
            _sum(text, whole.format("sum")),
            _sum(text, whole.format("count")),
            _sum(text, r'carfront_process_cpu_seconds_total{process="http-.*"}'),
            _sum(text, r'carfront_process_cpu_seconds_total{process="engine.*"}'),
        )

    def __sub__(self, other: "Counters") -> "Counters":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counters(*(mine - theirs for mine, theirs in pairs))


def _sum(text: str, pattern: str) -> float:
    return sum(map(float, re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE)))


def told(load: Load, spent: Counters) -> dict[str, float]:
    """Return what callers saw of a load, and what the server took for it."""
    steps = load.steps_ms()
    names = ("queue_ms", "infer_ms", "encode_ms")
    means = {
        name: statistics.fmean(values)
        for name, values in zip(names, zip(*steps, strict=True), strict=True)
    }
    count = len(load.latencies_s)
    return {
        "images_per_s": count / load.seconds,
        "p50_ms": 1e3 * percentile(load.latencies_s, 50),
        "p99_ms": 1e3 * percentile(load.latencies_s, 99),
        "mean_ms": 1e3 * statistics.fmean(load.latencies_s),
        **means,
        "queue_p99_ms": percentile([queue for queue, _, _ in steps], 99),
        "server_ms": 1e3 * spent.request_s / spent.requests,
        "mean_batch": spent.images / spent.batches,
        "batch_ms": 1e3 * spent.inference_s / spent.batches,
        "worker_us": 1e6 * spent.worker_cpu_s / spent.images,
        "engine_us": 1e6 * spent.engine_cpu_s / spent.images,
        "caller_us": 1e6 * load.caller_cpu_s / count,
    }


def measured(python: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the facts of a replica, and what callers saw at each load in each round.

    Raises:
        MeasureError: the raw rate could not be measured, or a request failed.
        ServerFailed: the server did not start or stop as it should.
    """
    raw = _raw(python)
    found: list[dict[str, Any]] = []
    began = time.monotonic()
    with serving(python) as server:
        start_s = time.monotonic() - began
        time.sleep(WARM_S)
        with Callers(server.url) as callers:
            callers.closed_loop(SATURATING, 2.0)  # both sides get warm
            for number in range(1, rounds + 1):
                found.append(_round(server, callers, seconds))
                capacity = found[-1]["saturated"]["images_per_s"]
                print(f"round {number} of {rounds}: {capacity:,.0f} images/s", flush=True)
    facts = _facts(raw, found, start_s)
    measured = {"raw": raw, "latents_ms": _latents_ms(python)}
    return measured | {"facts": facts.saved(), "rounds": found}


def _round(server: Server, callers: Callers, seconds: float) -> dict[str, Any]:
    """Return what one round told: the saturated server, and every load as a share of that."""
    before = Counters.of(server)
    saturated = told(callers.closed_loop(SATURATING, seconds), Counters.of(server) - before)
    loads = {}
    for share in SHARES:
        before = Counters.of(server)
        load = callers.open_loop(share * saturated["images_per_s"], seconds)
        loads[f"{share:g}"] = told(load, Counters.of(server) - before)
    return {"saturated": saturated, "loads": loads}


def _raw(python: str) -> dict[str, dict[int, float]]:
    """Return the images a second of ``session.run`` alone, by way and batch size."""
    command = [python, "-m", "server.runtime.benchmark"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise MeasureError(f"the raw rate could not be measured: {ended.stderr.strip()[-500:]}")
    rates = json.loads(ended.stdout)
    return {
        way: {int(rows): rate for rows, rate in rates[way].items()}
        for way in (ONE_SESSION, STREAMS)
    }


def _facts(
    raw: dict[str, dict[int, float]], rounds: Sequence[dict[str, Any]], start_s: float
) -> Facts:
    """Return what the simulation needs, from the medians of what was measured.

    Batches take as many times longer than with ``session.run`` alone as the engine's processor time
    tells: its own work is in it, and that HTTP workers have the caches between two batches.
    """
    processors = len(os.sched_getaffinity(0))

    def median(name: str) -> float:
        return float(statistics.median(each["saturated"][name] for each in rounds))

    rows = median("mean_batch")
    alone = {size: processors * size / rate for size, rate in raw[STREAMS].items()}
    lone = {size: size / rate for size, rate in raw[ONE_SESSION].items() if size <= LONE_ROWS}
    times = median("engine_us") / 1e6 * rows / at(alone, rows)
    return Facts(
        processors=processors,
        workers=processors,
        streams=processors,
        lone_threads=processors,
        largest_batch=LARGEST_BATCH,
        batch_seconds={size: times * seconds for size, seconds in alone.items()},
        lone_seconds={size: times * seconds for size, seconds in lone.items()},
        before_s=median("worker_us") / 2e6,
        after_s=median("worker_us") / 2e6,
        caller_s=median("caller_us") / 1e6,
        start_s=start_s,
    )


def _latents_ms(python: str) -> float:
    """Return the milliseconds in which the latents of one seed are made, in a loop."""
    ended = subprocess.run([python, "-c", LATENTS], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise MeasureError(f"latents could not be made: {ended.stderr.strip()[-500:]}")
    return float(ended.stdout)
