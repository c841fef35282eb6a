"""Draws the dashboard of a real run: ``make dashboard-picture``, for docs/dashboard.png.

A Prometheus watches a server for two minutes under load, while its engine is killed twice, its
queue is full for a while and callers hang up. Then every query of the dashboard is asked, as
Grafana would, and drawn where the panel is. What this machine has not (GPUs, Kubernetes) says so.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.faults import kill
from tests.k8s.drawing import draw
from tests.k8s.prometheus import watching
from tests.k8s.watched import Watched, asking
from tests.servers import LARGE_BATCHES, until, victim

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/dashboard.png"
SECONDS = 120
SETTINGS = {**LARGE_BATCHES, "CARFRONT_MAX_QUEUE_ROWS": "4096"}


def main() -> int:
    """Draw as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.k8s.picture", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the server")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"of the run ({SECONDS})")
    parser.add_argument("--out", type=Path, default=PICTURE, help=f"the picture ({PICTURE})")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, watching(Path(name)) as prometheus:
        folder = Path(name) / "runtime"
        folder.mkdir()
        with victim(args.python, folder, env=SETTINGS) as harmed:
            watched = Watched(harmed, prometheus)
            prometheus.scrape({"a": urlsplit(harmed.server.url).netloc})
            until(lambda: watched.shows("Engine up"))
            run(watched, args.seconds)
            draw(prometheus, args.seconds, args.out)
    print(args.out)
    return 0


def run(watched: Watched, seconds: int) -> None:
    """Have a server under load, and under faults, for so many ``seconds``."""
    many = {"n": 64, "format": "npy"}
    tensor = {"name": "latents", "datatype": "FP32", "shape": [1, 100], "data": [0.5] * 100}
    loads = [lambda: watched.ask(f"/v1/images/{random.getrandbits(40)}.png")] * 6
    loads += [lambda: watched.ask("/v1/images", many)] * 2
    loads.append(lambda: watched.ask("/v2/models/cars-dcgan/infer", {"inputs": [tensor]}))
    loads.append(lambda: watched.ask(random.choice(("/", "/v1/images/cars.png"))))
    with asking(loads):
        time.sleep(seconds * 0.3)
        kill(watched.victim.engines)
        time.sleep(seconds * 0.3)
        for _ in range(4):
            watched.crowd(6, "/v1/images", {"n": 4096, "format": "npy"})
            watched.ask("/v1/images/7.png", X_Request_Timeout_Ms="1")
        kill(watched.victim.engines)
        time.sleep(seconds * 0.3)


if __name__ == "__main__":
    sys.exit(main())
