"""Tries settings of the server in turns, and says which to use: ``make tune``.

What is compared is the capacity for one kind of request, see ``loadtests.capacity``. A round
measures the defaults, then all other settings, then the defaults again, each with a server of its
own; every second round goes the other way round. A gain is a capacity over the mean of the round's
two of the defaults. By how much these two differ is the noise: settings whose median gain is not
beyond it, or that gain nothing in one of the rounds, are not recommended. Where settings of several
variables gain, they are tried together in as many rounds more.

    python -m loadtests.tune png:1 --rounds 5 --python .venvs/serve/bin/python
    python -m loadtests.tune npy:64 --try CARFRONT_WORKERS=1 --try CARFRONT_MAX_BATCH_SIZE=32
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from statistics import median

from loadtests.answers import WrongAnswer
from loadtests.capacity.kinds import FORMS, Kind
from loadtests.capacity.measure import SETTLE_S, meter_for, search_with
from loadtests.capacity.meter import generators
from loadtests.capacity.options import add_options, settings_of
from loadtests.gains import DEFAULTS, Round, Settings, Verdict, words
from loadtests.readings import MeasureError, hardware, save
from loadtests.serving import ServerFailed, serving

WORKERS, STREAMS, THREADS, BATCH = (
    f"CARFRONT_{name}" for name in ("WORKERS", "STREAMS", "THREADS", "MAX_BATCH_SIZE")
)
MOST_STREAMS = 64
"""The largest number of streams that the server takes."""


def main(argv: list[str] | None = None) -> int:
    """Try settings as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    try:
        kind = Kind.parse(args.kind)
        tried = [tuple(settings_of(text.split()).items()) for text in args.tried]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tried = tried or candidates(len(os.sched_getaffinity(0)))
    try:
        with generators(args.generators) as pool:
            verdicts = tune(tried, Tuner(args, kind, pool))
    except (MeasureError, OSError, ServerFailed, WrongAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    told = advice(verdicts[-1])
    print("\n\n".join([hardware(), *map(table, verdicts), told]))
    if args.save:
        command = " ".join(["python -m loadtests.tune", *(argv or sys.argv[1:])])
        found = [each.facts() for each in verdicts]
        save(args.save, command, {"kind": str(kind), "advice": told, "verdicts": found})
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.tune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "kind", nargs="?", default="png:1", help=f"FORM:IMAGES, with one of {', '.join(FORMS)}"
    )
    found.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    found.add_argument(
        "--try",
        action="append",
        default=[],
        dest="tried",
        metavar="NAME=VALUE ...",
        help="settings to try; without any: workers, streams with threads, and sizes of batches",
    )
    add_options(found, seconds=3.0)
    return found


def candidates(cpus: int) -> list[Settings]:
    """Return the settings that are tried on so many processors, without the defaults.

    The defaults are an HTTP worker a processor, up to 16; an inference thread a processor, and as
    many streams, up to 4; and batches whose size the server learns.
    """
    usual = min(16, cpus)
    workers = sorted({1, max(1, usual // 2), usual + 1, 2 * usual} - {usual})
    streams = sorted({1, 2, max(1, cpus // 2), cpus, 2 * cpus} - {min(4, cpus)})
    streams = [count for count in streams if count <= MOST_STREAMS]
    return [
        *(((WORKERS, str(count)),) for count in workers),
        *(((STREAMS, str(count)), (THREADS, str(max(count, cpus)))) for count in streams),
        *(((BATCH, str(rows)),) for rows in (16, 32, 64, 128)),
    ]


@dataclass
class Tuner:
    """Measures capacities with servers of one kind of settings after the other."""

    args: argparse.Namespace
    kind: Kind
    generators: Executor
    near: float | None = None
    """The last capacity of the defaults, where the next search begins."""

    def round_of(self, tried: Sequence[Settings]) -> Round:
        """Return the capacities with the defaults, with all of ``tried``, and the defaults."""
        first = self.near = self.capacity(DEFAULTS)
        others = {settings: self.capacity(settings) for settings in tried}
        return Round((first, self.capacity(DEFAULTS)), others)

    def capacity(self, settings: Settings) -> float:
        """Return the capacity of a server with ``settings``, 0 if no rate keeps the objective.

        Raises:
            MeasureError: the generator was the limit, or the defaults have no capacity.
        """
        print(f"    {words(settings)}: ", end="", flush=True)
        with serving(self.args.python, dict(settings)) as server:
            time.sleep(SETTLE_S)
            meter = meter_for(server, self.kind, self.args, self.generators)
            found = search_with(meter, self.args.precision, lambda _: None, self.near)
        if found.generator_fault:
            raise MeasureError(f"{found.generator_fault}; try --generators")
        if not (found.capacity or settings):
            raise MeasureError(f"no rate keeps {meter.slo}; try a larger --limit-ms")
        print(f"{found.capacity or 0:,.1f} requests/s", flush=True)
        return found.capacity or 0.0


def tune(tried: Sequence[Settings], tuner: Tuner) -> list[Verdict]:
    """Return the verdict on all that is tried, and that on what gains together, if there is any."""
    verdicts = [Verdict(rounds(tried, tuner), tuner.args.precision)]
    if together := verdicts[0].together():
        again = [together, verdicts[0].best()]
        verdicts.append(Verdict(rounds(again, tuner), tuner.args.precision))
    return verdicts


def rounds(tried: Sequence[Settings], tuner: Tuner) -> list[Round]:
    """Return rounds in which ``tried`` takes turns; every second one goes the other way."""
    found = []
    for number in range(tuner.args.rounds):
        print(f"round {number + 1} of {tuner.args.rounds}", flush=True)
        found.append(tuner.round_of(tried[:: -1 if number % 2 else 1]))
    return found


def table(verdict: Verdict) -> str:
    """Return the medians and the gains as a table in Markdown."""
    defaults = median(x for each in verdict.rounds for x in each.defaults)
    lines = [
        "| settings | requests/s | gain, median | rounds |",
        "| --- | ---: | ---: | ---: |",
        f"| {words(DEFAULTS)} | {defaults:,.0f} | 1.00 | noise {verdict.noise:.1%} |",
    ]
    for settings in verdict.rounds[0].others:
        capacity = median(each.others[settings] for each in verdict.rounds)
        gains = verdict.gains(settings)
        range_ = f"{min(gains):.2f} to {max(gains):.2f}"
        lines.append(
            f"| {words(settings)} | {capacity:,.0f} | {verdict.gain(settings):.2f} | {range_} |"
        )
    return "\n".join(lines)


def advice(verdict: Verdict) -> str:
    """Return which settings to use, and why, in a sentence."""
    best = verdict.best()
    if best:
        return f"use {words(best)}: {verdict.gain(best):.2f} of the defaults' capacity"
    most = max(verdict.rounds[0].others, key=verdict.gain)
    return (
        f"keep the defaults: the largest gain, {verdict.gain(most):.2f} by {words(most)}, "
        f"is within the noise of {verdict.noise:.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
