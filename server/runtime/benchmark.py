"""What ``session.run`` alone reaches on this host: ``python -m server.runtime.benchmark``.

The measure that the served rate is held against: no sockets, no HTTP, nothing beside it. Both
ways to use the processors are tried, one session on all threads and the server's own streams.
Prints JSON: images a second by batch size for each, which is best, and what that reaches when it
is measured again: the best of a dozen noisy figures is also the luckiest. With ``--way`` and
``--rows`` that alone is measured: to hold a load against it right before and after.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from server.bundle import repository
from server.config import ServerConfig
from server.cpus import available_cpus
from server.runtime.open_session import open_session
from server.runtime.plans import choose_plans
from server.runtime.session import Session

BATCH_SIZES = (1, 8, 16, 32, 48, 64)
SECONDS = 0.5
"""The duration of one measurement."""
SECONDS_OF_BEST = 3.0
"""The duration of the measurement that the served rate is held against, which is as long."""

SMALLEST, LARGEST = 16, 1024
"""The bounds between which the largest batch on a GPU is chosen."""
GOOD = 0.98
"""The share of the best rate that the largest batch has to reach; larger ones block for longer."""
ENOUGH = 2
"""Doublings in a row that each bring less than that: larger batches are not tried."""
LONGEST_S = 0.1
"""The seconds of a batch beyond which no larger one is tried: its gain is not worth the wait."""
BATCH_OVERHEAD_S = 0.6e-3
"""The cost of a batch beside inference: enough to explain what 64 images gained over 32 under full
load (4 %)."""


ONE_SESSION, STREAMS = "one_session", "streams"
"""The ways to use the processors: one session on all threads, or the server's own streams."""


def main(argv: list[str] | None = None) -> int:
    """Measure as the environment's settings say and print the result."""
    parser = argparse.ArgumentParser(prog="python -m server.runtime.benchmark", description=__doc__)
    parser.add_argument("--way", choices=(ONE_SESSION, STREAMS), help="measure this way alone")
    parser.add_argument("--rows", type=int, help="at this batch size alone")
    args = parser.parse_args(argv)
    if (args.way is None) != (args.rows is None):
        parser.error("--way and --rows go together")
    facts, ways, dim = _opened(ServerConfig.from_env())
    rates = {}
    way, rows = args.way, args.rows
    if way is None:
        rates = {way: {rows: rate(ways[way], rows, dim) for rows in BATCH_SIZES} for way in ways}
        _, way, rows = max((rates[way][rows], way, rows) for way in ways for rows in BATCH_SIZES)
    best = rate(ways[way], rows, dim, SECONDS_OF_BEST)
    print(json.dumps(facts | rates | {"way": way, "rows": rows, "best": best}))
    return 0


def _opened(config: ServerConfig) -> tuple[dict[str, str], dict[str, list[Session]], int]:
    """Return what is measured, the sessions of each way, and how many latents an image has."""
    bundle = repository.find(config.models, config.model, config.version)
    manifest = bundle.manifest
    plans = choose_plans(config.provider, config.precision, manifest)
    one, _ = open_session(bundle, plans, config.threads or available_cpus())
    streams = [
        open_session(bundle, [one.plan], config.threads_a_stream)[0]
        for _ in range(config.inference_streams)
    ]
    plan = {"provider": one.plan.provider, "precision": one.plan.precision}
    facts = {"model": manifest.name, "version": manifest.version, **plan}
    return facts, {ONE_SESSION: [one], STREAMS: streams}, manifest.latents.dim


def measured_batch_size(sessions: Sequence[Session], latent_dim: int) -> int:
    """Return the largest batch that serving should form on this GPU; takes about a second."""

    def both(rows: int) -> tuple[float, float]:
        """Measure in turns: what else the host does then takes from either alike."""
        pairs = [
            [rate(sessions, size, latent_dim, 0.05) for size in (rows, 2 * rows)] for _ in range(4)
        ]
        return max(once for once, _ in pairs), max(twice for _, twice in pairs)

    return best_batch_size(both, len(sessions))


def best_batch_size(
    rates: Callable[[int], tuple[float, float]], streams: int, largest: int = LARGEST
) -> int:
    """Return the smallest size, of ``SMALLEST`` and its doubles, that is nearly the fastest.

    ``rates`` gives the images a second of ``streams`` sessions, without the engine, at a size and
    at twice that size.
    """

    def served(rows: int, rate: float) -> float:
        images = streams * rows
        return images / (images / rate + BATCH_OVERHEAD_S)

    size, reached, poor, batch_s = SMALLEST, {SMALLEST: 1.0}, 0, 0.0
    while size < largest and poor < ENOUGH and batch_s < LONGEST_S:
        once, twice = rates(size)
        batch_s = streams * 2 * size / twice
        gain = served(2 * size, twice) / served(size, once)
        reached[2 * size] = reached[size] * gain
        poor = poor + 1 if gain * GOOD < 1 else 0
        size *= 2
    best = max(reached.values())
    return min(size for size, rate in reached.items() if rate >= GOOD * best)


def rate(
    sessions: Sequence[Session],
    rows: int,
    latent_dim: int,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the images a second of all ``sessions`` together, each in a thread of its own.

    Each counts the seconds of its own batches: the last ones do not end together, and the larger
    they are, the longer one would run without the other.
    """
    batch = np.random.default_rng(0).standard_normal((rows, latent_dim), np.float32)
    for session in sessions:
        session.run(batch)

    def own_rate(session: Session) -> float:
        images, began = 0, clock()
        while (spent := clock() - began) < seconds or not images:
            session.run(batch)
            images += rows
        return images / spent

    with ThreadPoolExecutor(len(sessions)) as threads:
        return round(sum(threads.map(own_rate, sessions)), 1)


if __name__ == "__main__":
    sys.exit(main())
