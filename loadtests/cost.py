"""What scrapes and single images cost HTTP workers, at several checkouts in turns.

``python -m loadtests.cost old=../other new=.`` runs the server of each checkout once a round. What
it tells is the processor time of all HTTP workers, the kernel's work for them included, as medians
over the rounds, and as times of the first checkout's. It needs ``wrk``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from loadtests import wrk
from loadtests.readings import MeasureError, hardware, one
from loadtests.serving import Server, get, serving

FORMATS = ("png", "jpg", "webp", "npy", "tar", "json", "raw")
PATHS = ("/", "/healthz", "/readyz", "/nowhere", "/v1/images/x.png", "/v1/images/7.jpg", "/v2")
"""What is asked for beside images in all formats, before scrapes are measured, to make series."""
SETTLE_S = 3.0
TICKS = os.sysconf("SC_CLK_TCK")
COLUMNS = {"scrape_ms": "ms a scrape", "image_us": "us a single image"}


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.cost", description=__doc__)
    parser.add_argument("servers", nargs="+", metavar="NAME=PLACE", help="checkouts, in turns")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of single images (5)")
    parser.add_argument("--scrapes", type=int, default=200, help="scrapes (200)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of all of them")
    args = parser.parse_args(argv)
    places = dict(each.partition("=")[::2] for each in args.servers)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in places}
    try:
        wrk.require()
        for _ in range(args.rounds):
            for name, place in places.items():
                with serving(args.python, checkout=Path(place)) as server:
                    found[name].append(_measured(server, args.scrapes, args.seconds))
                print(f"{name}: {_told(found[name][-1])}", flush=True)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"medians of {args.rounds} rounds on {hardware()}")
    medians = {name: _medians(rounds) for name, rounds in found.items()}
    first = next(iter(medians.values()))
    for name, facts in medians.items():
        times = {column: facts[column] / max(first[column], 1e-9) for column in COLUMNS}
        print(f"{name}: {_told(facts)}; times the first: {json.dumps(times)}")
    return 0


def _measured(server: Server, scrapes: int, seconds: int) -> dict[str, float]:
    _ask_for_everything(server.url)
    time.sleep(SETTLE_S)
    workers = _http_workers(server)
    with tempfile.TemporaryDirectory() as folder:
        command = wrk.command_for(wrk.Load("32 connections", 32, 1), Path(folder))
        images = 0

        def draw() -> None:
            nonlocal images
            whole = [*command, f"-d{seconds}", server.url]
            done = subprocess.run(whole, capture_output=True, text=True, check=True)
            images = int(one(r"(\d+) requests in", done.stdout))

        def scrape() -> None:
            for _ in range(scrapes):
                get(f"{server.url}/metrics")

        scrape_s, draw_s = _spent(workers, scrape), _spent(workers, draw)
    return {"scrape_ms": scrape_s / scrapes * 1e3, "image_us": draw_s / max(images, 1) * 1e6}


def _ask_for_everything(url: str) -> None:
    for name in FORMATS:
        body = json.dumps({"n": 9, "seed": 1, "format": name}).encode()
        _ask(urllib.request.Request(f"{url}/v1/images", body, {"Content-Type": "application/json"}))
    for path in PATHS * 4:
        _ask(urllib.request.Request(url + path))


def _ask(request: urllib.request.Request) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(urllib.error.HTTPError), opener.open(request) as answer:
        answer.read()


def _http_workers(server: Server) -> list[int]:
    """Return the processes that gunicorn's arbiter has started: HTTP workers, and what starts the
    engines, which idles."""
    told = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in told.split()]


def _spent(processes: list[int], what: Callable[[], None]) -> float:
    """Return the seconds of processor time that processes take for ``what``."""
    before = sum(map(_cpu_s, processes))
    what()
    return sum(map(_cpu_s, processes)) - before


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {column: statistics.median(each[column] for each in rounds) for column in COLUMNS}


def _told(facts: dict[str, float]) -> str:
    return ", ".join(f"{facts[column]:.2f} {words}" for column, words in COLUMNS.items())


if __name__ == "__main__":
    sys.exit(main())
