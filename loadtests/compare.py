"""Compares servers in turns, in one run: how fast each starts, and how fast each answers.

``python -m loadtests.compare ours=. old=../other star=loadtests.peers.starlette_batcher`` names
each server by a checkout's directory or by a peer's module. The ratios compare each server with the
first one, round by round; the results are medians over the rounds. The comparison needs ``wrk``.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests import wrk
from loadtests.peers.requests import OURS, OWN, Requests
from loadtests.readings import MeasureError, hardware, one
from loadtests.serving import COMMAND, ROOT, free_port

LOADS = (
    wrk.Load("1 connection", 1, 1),
    wrk.Load("32 connections", 32, 1),
    wrk.Load("128 connections", 128, 1),
    wrk.Load("64 images a request", 16, 64),
)
START = "start"
"""The column of the seconds from the process's start until it is ready."""
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0
POLL_S = 0.005
SETTLE_S = 4.0
"""The seconds for which a ready server is left alone, since some warm up while they serve."""


@dataclass(frozen=True)
class Contender:
    """One of the servers that are compared."""

    name: str
    place: str
    """The directory of a checkout of this repository, or the module of a peer."""
    python: str

    def command(self, port: int) -> list[str]:
        """Return the command that starts the server on a loopback port."""
        if Path(self.place).is_dir():
            return [self.python, *COMMAND]
        return [self.python, "-m", self.place, f"--port={port}"]

    @property
    def requests(self) -> Requests:
        """The requests with which the server is asked."""
        return OWN.get(self.place, OURS)

    @property
    def folder(self) -> Path:
        """Return the directory in which the server is started."""
        return Path(self.place) if Path(self.place).is_dir() else ROOT


def main(argv: list[str] | None = None) -> int:
    """Compare as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=__doc__)
    parser.add_argument("servers", nargs="+", metavar="NAME=PLACE", help="at least two")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each load (4)")
    parser.add_argument("--only", action="append", help="a column, such as 'start'; all of them")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of all of them")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    named = {name: place for name, _, place in (x.partition("=") for x in args.servers)}
    columns = [START, *(load.name for load in LOADS)]
    if len(named) < 2 or len(named) < len(args.servers) or not all(named.values()):
        parser.error("name two servers or more, each NAME=PLACE with a name of its own")
    if unknown := set(args.only or []) - set(columns):
        parser.error(f"there is no column {unknown.pop()!r}; there are {', '.join(columns)}")
    columns = [x for x in columns if x in (args.only or columns)]
    python = str(Path.cwd() / args.python) if os.sep in args.python else args.python
    contenders = [Contender(name, place, python) for name, place in named.items()]
    try:
        wrk.require()
        rounds = [one_round(contenders, columns, args.seconds) for _ in _counted(args.rounds)]
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(rounds, contenders))
    if args.save:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python -m loadtests.compare", *(argv or sys.argv[1:])])
        facts = {"command": command, "hardware": hardware(), "rounds": rounds}
        args.save.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


Round = dict[str, dict[str, float]]
"""The results of each server, by its name and the column: seconds, milliseconds or images/s."""


def one_round(contenders: list[Contender], columns: list[str], seconds: int) -> Round:
    """Return the results of each server, measured one after the other."""
    found: Round = {}
    for contender in contenders:
        with started(contender) as (url, start_s):
            found[contender.name] = {START: start_s} if START in columns else {}
            time.sleep(SETTLE_S)
            for load in LOADS:
                if load.name in columns:
                    found[contender.name] |= measured(url, load, seconds, contender.requests)
    return found


@contextmanager
def started(contender: Contender) -> Iterator[tuple[str, float]]:
    """Run a server until the block ends; yield its URL, and the seconds until it was ready.

    Raises:
        MeasureError: the server did not become ready.
    """
    port = free_port()
    own = {"CARFRONT_HOST": "127.0.0.1", "CARFRONT_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            contender.command(port),
            cwd=contender.folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not contender.requests.is_ready(url):
                if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
                    log.seek(0)
                    end = log.read()[-2000:].decode(errors="replace")
                    raise MeasureError(f"{contender.name} did not become ready: {end}")
                time.sleep(POLL_S)
            yield url, time.perf_counter() - began
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if Path(contender.place).is_dir():  # how peers end is not compared
                    raise MeasureError(f"{contender.name} did not stop") from None


def measured(url: str, load: wrk.Load, seconds: int, requests: Requests) -> dict[str, float]:
    """Return a server's result under ``load``: a latency for one connection, else a rate."""
    with tempfile.TemporaryDirectory() as folder:
        command = wrk.command_for(load, Path(folder), requests.script(load))
        wrk.run([*command, "-d1s", url])  # this run warms the server up
        text = wrk.run([*command, f"-d{seconds}s", url])
    if load.connections == 1:
        return {load.name: wrk.milliseconds(one(wrk.PERCENTILE.format(50), text))}
    return {load.name: float(one(r"Requests/sec:\s+([\d.]+)", text)) * load.images}


def table(rounds: list[Round], contenders: list[Contender]) -> str:
    """Return the medians, and their ratios to the first server's, as a table in Markdown."""
    first = contenders[0].name
    columns = list(rounds[0][first])
    lines = [
        f"{hardware()}; medians of {len(rounds)} rounds, ratio to {first} in brackets",
        "",
        "| server | " + " | ".join(f"{x} ({unit(x)})" for x in columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for contender in contenders:
        cells = []
        for column in columns:
            value = statistics.median(x[contender.name][column] for x in rounds)
            ratio = statistics.median(x[contender.name][column] / x[first][column] for x in rounds)
            cells.append(f"{value:,.2f} ({ratio:.2f})")
        lines.append(f"| {contender.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def unit(column: str) -> str:
    """Return the unit of a column's values."""
    return {START: "s", LOADS[0].name: "p50, ms"}.get(column, "images/s")


def _counted(rounds: int) -> Iterator[int]:
    for number in range(1, rounds + 1):
        yield number
        print(f"round {number} of {rounds} is done", flush=True)


if __name__ == "__main__":
    sys.exit(main())
