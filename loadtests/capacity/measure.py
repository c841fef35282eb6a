"""One measurement of a capacity, from the first look at a server to the end of the search."""

import argparse
from collections.abc import Callable
from concurrent.futures import Executor

from loadtests.capacity.kinds import Kind
from loadtests.capacity.meter import Meter, look
from loadtests.capacity.options import length_of, slo_of
from loadtests.capacity.search import Found, Search, find, sentence
from loadtests.serving import Server

SETTLE_S = 4.0
"""The seconds for which a server that is ready is left alone, since it warms up meanwhile."""
NEAR = 1.25
"""The factor between rates where the capacity is known roughly."""


def meter_for(
    server: Server, kind: Kind, args: argparse.Namespace, generators: Executor, reads: bool = True
) -> Meter:
    """Return a meter of ``server``, as the options say, after a look at what it answers.

    Raises:
        WrongAnswer: an answer is not what was asked for.
    """
    return Meter(
        server=server,
        kind=kind,
        at_rest=look(server, kind),
        slo=slo_of(args, kind),
        length=length_of(args),
        generators=generators,
        count=args.generators,
        reads=reads,
    )


def search_with(
    meter: Meter, precision: float, tell: Callable[[str], None], near: float | None = None
) -> Found:
    """Return what a search finds that begins ``near`` a rate, or where an idle server's latency
    suggests.

    One trial warms the server up before. There is none where an idle server misses the objective.
    """
    idle_ms = meter.at_rest.latency_ms
    tell(f"an idle server answers within {idle_ms:.1f} ms")
    search = Search(first_rate(idle_ms), precision)
    if near is not None:
        search = Search(near, precision, step=NEAR)
    if idle_ms > meter.slo.limit_ms:
        return Found(search, [])
    tell(f"{sentence(meter.at(search.first))}: warms the server up, and does not count")
    return find(meter.at, meter.slo, search, tell)


def first_rate(idle_ms: float) -> float:
    """Return half the rate at which an idle server answers one caller, in requests a second."""
    return 500 / idle_ms
