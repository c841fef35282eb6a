"""Compares servers in turns, in one run: how fast each starts and answers, and at what cost.

A server is named by a checkout's directory or a peer's module, as in ``ours=. old=../other``, or it
is a peer by its name alone, whose environment is made when it is not there: ``python -m
loadtests.compare ours=. triton litserve``. The ratios compare each server with the first one, round
by round; the results are medians over the rounds. The comparison needs ``wrk``.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from loadtests import wrk
from loadtests.compare.columns import one_round
from loadtests.compare.contenders import Contender, contender_of
from loadtests.compare.environments import python_of
from loadtests.compare.report import facts, table
from loadtests.compare.units import UNITS
from loadtests.peers.catalog import PEERS
from loadtests.readings import MeasureError


def main(argv: list[str] | None = None) -> int:
    """Compare as the command line says; return the exit status."""
    options = parser()
    args = options.parse_args(argv)
    if unknown := set(args.only or []) - set(UNITS):
        options.error(f"there is no column {unknown.pop()!r}; there are {', '.join(UNITS)}")
    python = str(Path.cwd() / args.python) if os.sep in args.python else args.python
    try:
        named = [contender_of(text, python) for text in args.servers]
    except ValueError as error:
        options.error(str(error))
    if len({x.name for x in named}) < max(2, len(named)):
        options.error("name two servers or more, each NAME=PLACE with a name of its own")
    columns = [x for x in UNITS if x in (args.only or UNITS)]
    try:
        wrk.require()
        contenders, skipped = with_environments(named)
        if len(contenders) < 2:
            raise MeasureError("fewer than two servers are left")
        rounds = [one_round(contenders, columns, args.seconds) for _ in _counted(args.rounds)]
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if args.save:
        command = shlex.join(["python", "-m", "loadtests.compare", *(argv or sys.argv[1:])])
        args.save.parent.mkdir(parents=True, exist_ok=True)
        saved = facts(command, rounds, contenders, skipped)
        args.save.write_text(json.dumps(saved, indent=1) + "\n")
    print(table(rounds, contenders))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.compare",
        description=__doc__,
        epilog="example: python -m loadtests.compare ours=. triton --only '64 binary rows'",
    )
    add = found.add_argument
    known = ", ".join(PEERS)
    add("servers", nargs="+", metavar="NAME=PLACE", help=f"at least two; or one of {known}")
    add("--rounds", type=int, default=5, help="rounds (5)")
    add("--seconds", type=int, default=4, help="seconds of each load (4)")
    add("--only", action="append", help="a column, such as 'start'; all of them")
    add("--python", default=sys.executable, help="the interpreter of all with a PLACE (this one)")
    add("--save", type=Path, help="write the result there as JSON")
    return found


def with_environments(
    named: list[Contender],
) -> tuple[list[Contender], dict[str, str]]:
    """Return the servers that can run, each with its interpreter, and why the others cannot."""
    found: list[Contender] = []
    skipped: dict[str, str] = {}
    for each in named:
        try:
            found.append(each if each.python else replace(each, python=python_of(PEERS[each.name])))
        except MeasureError as error:
            skipped[each.name] = str(error)
            print(f"{each.name} is skipped: {error}", flush=True)
    return found, skipped


def _counted(rounds: int) -> Iterator[int]:
    for number in range(1, rounds + 1):
        yield number
        print(f"round {number} of {rounds} is done", flush=True)


if __name__ == "__main__":
    sys.exit(main())
