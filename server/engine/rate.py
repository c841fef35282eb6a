"""What ``session.run`` alone reaches on this host: ``python -m server.engine.rate``.

The measure that the served rate is held against: no sockets, no HTTP, nothing beside it. Both
ways to use the processors are tried, one session on all threads and the server's own streams.
Prints JSON: images a second by batch size for each, and the best of all.
"""

import json
import sys
import threading
import time

import numpy as np

from server.bundle import find_bundle, load_bundle
from server.config import ServerConfig, available_cpus
from server.engine.session import Session, choose_plans, open_session

BATCH_SIZES = (1, 8, 16, 32, 48, 64)
SECONDS = 0.5
"""Of one measurement."""


def main() -> int:
    """Measure as the environment's settings say and print the result."""
    config = ServerConfig.from_env()
    bundle = load_bundle(find_bundle(config.models, config.model, config.version))
    plans = choose_plans(config.provider, config.precision)
    one, _ = open_session(bundle, plans, config.threads or available_cpus())
    count = config.inference_streams
    streams = [open_session(bundle, [one.plan], config.threads_a_stream)[0] for _ in range(count)]
    dim = bundle.manifest.latents.dim
    rates = {
        "one_session": {rows: rate([one], rows, dim) for rows in BATCH_SIZES},
        "streams": {rows: rate(streams, rows, dim) for rows in BATCH_SIZES},
    }
    facts = {"model": bundle.manifest.name, "version": bundle.manifest.version}
    plan = {"provider": one.plan.provider, "precision": one.plan.precision, "streams": count}
    best = max(max(found.values()) for found in rates.values())
    print(json.dumps(facts | plan | rates | {"best": best}))
    return 0


def rate(sessions: list[Session], rows: int, latent_dim: int, seconds: float = SECONDS) -> float:
    """Return the images a second of all ``sessions`` together, each in a thread of its own."""
    batch = np.random.default_rng(0).standard_normal((rows, latent_dim), np.float32)
    for session in sessions:
        session.run(batch)
    counts = [0] * len(sessions)
    began = time.perf_counter()

    def loop(i: int) -> None:
        while time.perf_counter() - began < seconds:
            sessions[i].run(batch)
            counts[i] += rows

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(counts) / (time.perf_counter() - began), 1)


if __name__ == "__main__":
    sys.exit(main())
