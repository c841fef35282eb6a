"""Sends good and malformed requests to a server of its own, and checks every answer.

The requests come in conversations: one connection with one case or more, and control requests
beside them whose images are compared, byte by byte, with those that a clean request got. The same
seed makes the same conversations; ``--only`` repeats one of them.
"""

import argparse
import json
import secrets
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from loadtests.fuzz.conversation import conversation
from loadtests.fuzz.maker import TOKEN
from loadtests.fuzz.odd_values import OddValues
from loadtests.fuzz.player import play
from loadtests.fuzz.request import SECRET
from loadtests.fuzz.tally import Tally
from loadtests.fuzz.verdict import References, faults
from loadtests.memory import total_mb
from loadtests.readings import hardware
from loadtests.serving import ROOT, Server, ServerFailed, get, serving

SETTINGS = {"CARFRONT_ADMIN_TOKEN": TOKEN, "CARFRONT_LOG_FORMAT": "json"}
TOLD_EVERY_S = 5.0
READ_EVERY_S = 0.5
"""The seconds between two readings of the server's memory."""
JUDGED = 20_000
"""The requests from which on a run is long enough for a verdict on memory."""


@dataclass(frozen=True)
class Plan:
    """What the command line says."""

    requests: int
    seconds: float
    seed: int
    callers: int
    only: int | None


class Numbers:
    """An iterator that several threads share: each of them gets other numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)
        self._lock = threading.Lock()

    def __iter__(self) -> "Numbers":
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


def main(argv: list[str] | None = None) -> int:
    """Fuzz as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    seed = secrets.randbelow(10**9) if args.seed is None else args.seed
    plan = Plan(args.requests, args.seconds, seed, args.callers, args.only)
    print(f"seed {seed}", flush=True)
    tally, stop = Tally(), threading.Event()
    try:
        with serving(args.python, SETTINGS, checkout=args.checkout) as server:
            fuzz(server, plan, tally, stop)
            judge_log(server.log, tally)
    except ServerFailed as error:
        tally.add_fault("the server failed", str(error))
    except KeyboardInterrupt:
        print(tally.text())
        return 130
    if tally.requests >= JUDGED:
        tally.judge_memory()
    report = tally.report()
    print(tally.text())
    print(
        f"{tally.requests:,} requests in {tally.conversations:,} conversations, "
        f"{tally.images:,} answers compared, memory {report['memory_mb']['warm']} MB when warm, "
        f"{report['memory_mb']['end']} MB at the end; {dict(sorted(tally.statuses.items()))}"
    )
    if args.save:
        command = f"python -m loadtests.fuzz --requests {plan.requests} --seed {seed}"
        facts = {"command": command, "hardware": hardware(), **report}
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"fuzz {'FAILED' if tally.faults else 'passed'}")
    return 1 if tally.faults else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m loadtests.fuzz", description=__doc__)
    found.add_argument("--requests", type=int, default=20_000, help="requests, about (20000)")
    found.add_argument("--seconds", type=float, default=3600, help="seconds at most (3600)")
    found.add_argument("--seed", type=int, help="decides all requests (a random one)")
    found.add_argument("--only", type=int, help="repeat this conversation of the seed, once")
    found.add_argument("--callers", type=int, default=8, help="conversations at a time (8)")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument("--checkout", type=Path, default=ROOT, help="whose server is started")
    found.add_argument("--save", type=Path, help="write the result there as JSON")
    return found


def fuzz(server: Server, plan: Plan, tally: Tally, stop: threading.Event) -> None:
    """Hold conversations with ``server`` until the ``plan`` is fulfilled or ``stop`` is set."""
    facts = json.loads(get(f"{server.url}/"))
    references = References(server.url)
    judge = partial(faults, references=references)
    odd = OddValues.of(plan.seed)
    ends = time.monotonic() + plan.seconds
    numbers = Numbers(count() if plan.only is None else [plan.only])

    def hold() -> None:
        for number in numbers:
            if stop.is_set() or tally.requests >= plan.requests or time.monotonic() > ends:
                return
            held = conversation(plan.seed, number, odd, facts["version"])
            tally.add(held, play(server.url, held, judge))

    with ThreadPoolExecutor(plan.callers) as pool:
        try:
            holding = [pool.submit(hold) for _ in range(plan.callers)]
            told = time.monotonic()
            while not all(future.done() for future in holding):
                time.sleep(READ_EVERY_S)
                tally.memory_mb.append(total_mb(server.pid))
                if time.monotonic() - told >= TOLD_EVERY_S:
                    told = time.monotonic()
                    found = sum(sum(x.values()) for x in tally.faults.values())
                    print(f"{tally.requests:,} requests, {found:,} faults", flush=True)
        finally:
            stop.set()
    for future in holding:
        future.result()


def judge_log(log: Path, tally: Tally) -> None:
    """Check that every line of the server's log is JSON, and that none has a caller's secret."""
    for line in log.read_bytes().splitlines():
        if SECRET in line:
            tally.add_fault("a secret in the log", repr(line[:300]))
        try:
            json.loads(line)
        except ValueError:
            tally.add_fault("a line of the log that is no JSON", repr(line[:300]))


if __name__ == "__main__":
    sys.exit(main())
