"""Sends good and malformed requests to servers of its own, and checks every answer.

The requests come in conversations: one connection with one case or more, by HTTP or by gRPC, and
control requests beside them whose images are compared, byte by byte, with those that a clean
request got. The first server lets everybody ask, the second one wants keys. The same seed makes the
same conversations; ``--only`` repeats one of them.
"""

import argparse
import json
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.fuzz.phases import PHASES, Phase, Plan, fuzz
from loadtests.fuzz.request import SECRET
from loadtests.fuzz.tally import Tally
from loadtests.memory import processes
from loadtests.readings import save
from loadtests.serving import ROOT, ServerFailed, free_port, serving

JUDGED = 20_000
"""The requests from which on a phase is long enough for a verdict on memory."""


def main(argv: list[str] | None = None) -> int:
    """Fuzz as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    seed = secrets.randbelow(10**9) if args.seed is None else args.seed
    plan = Plan(args.requests, args.seconds, seed, args.callers, args.only)
    print(f"seed {seed}", flush=True)
    tallies: dict[str, Tally] = {}
    for phase in PHASES:
        if plan.only is not None and not phase.has(plan.only):
            continue
        tally = tallies[phase.name] = Tally()
        try:
            run(phase, plan, args.python, args.checkout, tally)
        except KeyboardInterrupt:
            print(tally.text())
            return 130
        print(f"{phase.name}: {tally.text()}", flush=True)
    if args.save:
        command = f"python -m loadtests.fuzz --requests {plan.requests} --seed {seed}"
        reports = {name: tally.report() for name, tally in tallies.items()}
        save(args.save, command, reports)
    has_failed = any(tally.faults for tally in tallies.values())
    print(f"fuzz {'FAILED' if has_failed else 'passed'}")
    return int(has_failed)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.fuzz",
        description=__doc__,
        epilog="Example: python -m loadtests.fuzz --requests 5000 --seed 20",
    )
    found.add_argument("--requests", type=int, default=100_000, help="requests, about (100000)")
    found.add_argument("--seconds", type=float, default=3600, help="seconds at most (3600)")
    found.add_argument("--seed", type=int, help="decides all requests (a random one)")
    found.add_argument("--only", type=int, help="repeat this conversation of the seed, once")
    found.add_argument("--callers", type=int, default=8, help="conversations at a time (8)")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument("--checkout", type=Path, default=ROOT, help="whose server is started")
    found.add_argument("--save", type=Path, help="write the result there as JSON")
    return found


def run(phase: Phase, plan: Plan, python: str, checkout: Path, tally: Tally) -> None:
    """Fuzz a server as ``phase`` has it, and count what came of it."""
    port = free_port()
    try:
        with (
            TemporaryDirectory() as folder,
            serving(python, phase.settings(port, Path(folder)), checkout=checkout) as server,
        ):
            before = set(processes(server.pid))
            fuzz(server, port, phase, plan, tally, Path(folder))
            if lost := before - set(processes(server.pid)):
                tally.add_fault("processes were lost", f"{len(lost)} of {len(before)}")
            judge_log(server.log, tally)
    except ServerFailed as error:
        tally.add_fault("the server failed", str(error))
    if tally.requests >= JUDGED:
        tally.judge_memory()


def judge_log(log: Path, tally: Tally) -> None:
    """Check that every line of the server's log is JSON, without an error and a caller's secret."""
    for line in log.read_bytes().splitlines():
        if SECRET in line:
            tally.add_fault("a secret in the log", repr(line[:300]))
        try:
            level = json.loads(line).get("level")
        except (AttributeError, ValueError):
            tally.add_fault("a line of the log that is no JSON", repr(line[:300]))
            continue
        if level in ("error", "critical"):  # nothing that a caller sends is the server's fault
            tally.add_fault("an error in the log", repr(line[:3000]))


if __name__ == "__main__":
    sys.exit(main())
