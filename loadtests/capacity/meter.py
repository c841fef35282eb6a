"""The meter: it makes trials of one kind of request at one server, with generators' processes."""

import asyncio
import math
import multiprocessing
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from urllib.parse import urlsplit

import numpy as np

from loadtests.answers import Answer, WrongAnswer
from loadtests.callers import Connection
from loadtests.capacity.arrivals import poisson, requests_needed
from loadtests.capacity.generator import generate
from loadtests.capacity.kinds import SAME_LENGTH, Kind, Model, check, requests_of
from loadtests.capacity.orders import Orders
from loadtests.capacity.slo import Slo
from loadtests.capacity.trial import Trial
from loadtests.readings import Reading
from loadtests.serving import Server, get

LOOKS = 20
"""The number of requests, one after the other, by which an idle server is known."""
AHEAD_S = 0.5
"""The seconds for which a trial waits for its generators to open their connections."""
FEWEST, MOST = 16, 1000
"""The limits of the number of connections; an HTTP worker keeps 1,000."""
PATIENCE_S = 5.0
"""The seconds beyond a request's deadline for which an answer is waited for."""
DEADLINES = 10
"""The factor between the objective's limit and the deadline that a request gives the server."""


@dataclass(frozen=True)
class Length:
    """How long a trial is."""

    seconds: float = 5.0
    """The seconds of a trial at least, without its warm-up."""
    beyond: int = 10
    """The number of requests beyond the objective's percentile at least."""


@dataclass(frozen=True)
class AtRest:
    """What is known of a server that answers one kind of request, one after the other."""

    model: Model
    latency_ms: float
    """The median latency."""
    length: int | None
    """The bytes of an answer's body; None where answers differ in length."""


@dataclass(frozen=True)
class Meter:
    """Makes trials of one kind of request."""

    server: Server
    kind: Kind
    at_rest: AtRest
    slo: Slo
    length: Length
    generators: Executor
    count: int
    """The number of generators among which a trial's requests are dealt."""
    reads: bool = True
    """Whether the server's metrics are read: those of a single server with all its processes."""

    def at(self, rate: float) -> Trial:
        """Offer ``rate`` requests a second, and return what came of it.

        Raises:
            WrongAnswer: an answer is not what was asked for.
            OSError: the server takes no connection.
        """
        before = Reading.of(self.server) if self.reads else None
        orders = self._orders(rate)
        notes = list(self.generators.map(generate, orders))
        trial = Trial.of(rate, notes, self.slo.percentile)
        if before is None:
            return trial
        cpu_s = (Reading.of(self.server) - before).cpu_s
        requests = sum(len(each.due_s) for each in orders) + trial.compared
        return replace(trial, server_us=1e6 * cpu_s / requests)

    def _orders(self, rate: float) -> list[Orders]:
        """Return what each generator has to do.

        A request's deadline is far beyond the objective's limit, so that not the deadline decides;
        but when more is offered than can be drawn, the queue does not grow for long. There are
        twice as many connections as requests on their way when each takes as long as the limit, by
        Little's law: when none is idle, the objective is missed. A request that waits for one has
        been due all the time.
        """
        needed = self.length
        count = requests_needed(rate, needed.seconds, self.slo.percentile, needed.beyond)
        due_s = poisson(rate, count, np.random.default_rng())
        limit_s, deadline_s = self.slo.limit_ms / 1000, DEADLINES * self.slo.limit_ms / 1000
        connections = min(max(FEWEST, 2 * rate * limit_s), MOST, count)
        orders = Orders(
            url=self.server.url,
            kind=self.kind,
            model=self.at_rest.model,
            deadline_ms=1000 * deadline_s,
            length=self.at_rest.length,
            due_s=due_s,
            first=random.getrandbits(40),  # no trial asks for the seeds of another
            connections=math.ceil(connections / self.count),
            starts_s=time.monotonic() + AHEAD_S,
            patience_s=deadline_s + PATIENCE_S,
        )
        return [
            replace(orders, due_s=due_s[k :: self.count], first=orders.first + k * count)
            for k in range(min(self.count, count))
        ]


def look(server: Server, kind: Kind) -> AtRest:
    """Ask ``server`` for one kind of request, one after the other, and check each answer.

    Raises:
        WrongAnswer: an answer is not what was asked for.
        OSError: the server takes no connection.
    """
    return asyncio.run(_look(server, kind))


async def _look(server: Server, kind: Kind) -> AtRest:
    model, place = Model.of(get(f"{server.url}/")), urlsplit(server.url)
    request = requests_of(kind, model, server.url, 1000 * PATIENCE_S)
    took_s, lengths = [], []
    for number in range(LOOKS):
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, place.hostname or "", place.port or 80
        )
        connection.keeps = True
        began = time.monotonic()
        await connection.ask(request(number))
        took_s.append(time.monotonic() - began)
        connection.transport.close()
        answer = Answer(connection.status, fields_of(connection.head), connection.body)
        try:
            check(kind, model, answer)
        except WrongAnswer as error:
            raise WrongAnswer(f"{kind}: {error}") from error
        lengths.append(len(answer.body))
    return AtRest(model, 1000 * median(took_s), lengths[0] if kind.form in SAME_LENGTH else None)


def fields_of(head: bytes) -> dict[str, str]:
    """Return the header fields of an answer's head, with lower-case names."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    named = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in named}


@contextmanager
def generators(count: int) -> Iterator[Executor]:
    """Have ``count`` processes that generate until the block ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_leave_interrupts) as pool:
        list(pool.map(time.sleep, [AHEAD_S] * count))  # none of them starts in a trial
        yield pool


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the process that began the trial."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
