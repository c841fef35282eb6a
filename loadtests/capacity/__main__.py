"""Finds the highest rate at which a server keeps a service level objective: ``make capacity``.

Requests come as a Poisson process, whether answers come or not, and a latency counts from when its
request was due. The objective is a limit of the latency at a percentile, larger for requests for
many images, and a largest share of refusals. The rate is searched by bisection, for one kind of
request after the other; every answer is checked. A trial in which the generator was the limit does
not count, and a search that cannot do without it has no result.

    python -m loadtests.capacity png:1 npy:16 --limit-ms 50 --python .venvs/serve/bin/python
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from loadtests.answers import WrongAnswer
from loadtests.capacity.kinds import FORMS, Kind
from loadtests.capacity.measure import SETTLE_S, meter_for, search_with
from loadtests.capacity.meter import Meter, generators
from loadtests.capacity.options import add_options, settings_of, slo_of
from loadtests.capacity.report import Result, save, table
from loadtests.capacity.search import sentence
from loadtests.capacity.trial import Trial
from loadtests.readings import MeasureError
from loadtests.serving import Server, ServerFailed, serving

KINDS = "png:1 png:16 npy:16 npy:64 oip:1 oip:64 tfserving:1 tfserving:16"
CURVE = (0.2, 0.4, 0.6, 0.8, 0.9, 1.1)
"""The shares of the capacity at which the latency is measured for the curves."""


def main(argv: list[str] | None = None) -> int:
    """Search as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    try:
        kinds = [Kind.parse(text) for text in args.kinds or KINDS.split()]
        env = settings_of(args.env)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.save and not find_spec("matplotlib"):
        print("error: --save draws with matplotlib; use .venvs/dev/bin/python", file=sys.stderr)
        return 2
    results: list[Result] = []
    status = 0
    try:
        with generators(args.generators) as pool, _server(args, env) as server:
            for number, kind in enumerate(kinds, 1):
                print(f"{kind}, {number} of {len(kinds)}: {slo_of(args, kind)}", flush=True)
                meter = meter_for(server, kind, args, pool, reads=not args.url)
                found = search_with(meter, args.precision, _tell)
                drawn = curve(meter, found.capacity) if args.save and found.capacity else []
                results.append(Result(kind, meter.slo, meter.at_rest.latency_ms, found, drawn))
    except (MeasureError, OSError, ServerFailed, WrongAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    if results:  # what was found before an error counts
        print(table(results))
        if args.save:
            command = " ".join(["python -m loadtests.capacity", *(argv or sys.argv[1:])])
            save(args.save, command, results)
    return status or int(any(result.found.generator_fault for result in results))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = f"FORM:IMAGES, with one of {', '.join(FORMS)}; without any: {KINDS}"
    found.add_argument("kinds", nargs="*", metavar="KIND", help=kinds)
    add_options(found, seconds=5.0)
    found.add_argument("--url", help="the server; without it, one is started here")
    found.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="of the server's settings"
    )
    return found


def curve(meter: Meter, capacity: float) -> list[Trial]:
    """Return trials at shares of the capacity."""
    trials = []
    for share in CURVE:
        trials.append(meter.at(share * capacity))
        _tell(f"{sentence(trials[-1])}: for the curve")
    return trials


@contextmanager
def _server(args: argparse.Namespace, env: dict[str, str]) -> Iterator[Server]:
    """Have the server that the options name, or one that is started for the block."""
    if args.url:
        yield Server(args.url.rstrip("/"), 0, Path())
        return
    with serving(args.python, env) as server:
        time.sleep(SETTLE_S)
        yield server


def _tell(text: str) -> None:
    print(f"    {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
