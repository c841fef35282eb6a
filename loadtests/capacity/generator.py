"""The generator: it sends each request when it is due, whether answers come or not (an open loop).

No generator that Debian, PyPI or npm has sends by a Poisson process and compares answers, so this
one is our own: one thread on asyncio, in a process of its own. It notes what it costs and how late
it is, since a generator that cannot keep up makes a server look slow.
"""

import asyncio
import gc
import math
import re
import resource
import select
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from loadtests.answers import WrongAnswer
from loadtests.callers import LENGTH, AnswerReader, Connection
from loadtests.capacity.kinds import FORMS, requests_of
from loadtests.capacity.orders import Notes, Orders

REFUSALS = (429, 503, 504)
"""The statuses with which a server refuses what it cannot do in time."""
SAMPLES = 8
"""The number of a generator's answers that are compared with those to second requests."""
Reader = TypeVar("Reader", bound=AnswerReader)
TYPE = re.compile(rb"(?i)\r\ncontent-type: ([^;\r]+)")


def generate(orders: Orders) -> Notes:
    """Make the requests, and return what came of them.

    Raises:
        WrongAnswer: an answer is none to its request, or another than that to a second request.
        OSError: the server takes no connection.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.disable()  # a collection makes requests late
    try:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            return runner.run(_generate(orders))
    finally:
        gc.enable()


async def _generate(orders: Orders) -> Notes:
    return await Generator(orders).run()


class PreciseSelector(selectors.DefaultSelector):
    """A selector that waits to the microsecond: epoll rounds up to whole milliseconds."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop whose timers are not rounded to milliseconds."""
    return asyncio.SelectorEventLoop(PreciseSelector())


class Caller(AnswerReader):
    """A connection of the generator, with the request that is on its way."""

    def __init__(self, generator: "Generator") -> None:
        super().__init__()
        self._generator = generator
        self.index: int | None = None
        """The place of the request among the generator's; None while the connection is idle."""

    def answered(self) -> None:
        self._generator.note_answer(self)

    def failed(self, error: Exception) -> None:
        self._generator.note_failure(self, error)


class Generator:
    """The requests of one trial on their way."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._notes = Notes.of(orders.due_s)
        self._request = requests_of(orders.kind, orders.model, orders.url, orders.deadline_ms)
        self._due_s: list[float] = orders.due_s.tolist()
        self._next = 0
        """The first request that has not been due yet."""
        self._waiting: deque[int] = deque()
        """The requests that are due, and for which no connection is idle."""
        self._open = len(self._due_s)
        """The number of requests that have neither been answered nor failed."""
        self._idle: deque[Caller] = deque()
        self._callers: set[Caller] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._samples: dict[int, bytes] = {}
        self._sampled = range(0, self._open, math.ceil(self._open / SAMPLES))
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._began_cpu_s = 0.0

    async def run(self) -> Notes:
        """Make all requests, and compare a sample of the answers."""
        starts_s = self._orders.starts_s
        try:
            for _ in range(self._orders.connections):
                await self._connect()
            self._loop.call_at(starts_s, self._start)
            async with asyncio.timeout_at(starts_s + self._due_s[-1] + self._orders.patience_s):
                await self._over
        except TimeoutError:
            pass  # what has not been answered yet never is
        finally:
            self._over.cancel()
            self._notes.cpu_s = time.process_time() - self._began_cpu_s
            for task in self._connecting:
                task.cancel()
            for caller in self._callers:
                caller.transport.abort()
        await self._compare()
        return self._notes

    def note_answer(self, caller: Caller) -> None:
        """Note the answer that is complete, and use its connection again."""
        index, caller.index = caller.index, None
        if index is None or self._over.done():
            return
        if fault := self._fault(caller):
            self._over.set_exception(WrongAnswer(f"{self._orders.kind}: {fault}"))
            return
        self._notes.done_s[index] = self._loop.time() - self._orders.starts_s
        self._notes.statuses[index] = caller.status
        if caller.keeps and caller.status == 200:
            self._samples[index] = caller.body
        if not caller.transport.is_closing():
            self._idle.append(caller)
        self._close_one()
        self._send()

    def note_failure(self, caller: Caller, error: Exception) -> None:
        """Note that a connection has ended, with or without a request; another takes its place."""
        if self._over.done():
            return
        if isinstance(error, ValueError):
            self._over.set_exception(WrongAnswer(f"{self._orders.kind}: {error}"))
            return
        index, caller.index = caller.index, None
        self._callers.discard(caller)
        task = self._loop.create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connected)
        if index is not None:
            self._close_one()

    def _start(self) -> None:
        self._began_cpu_s = time.process_time()
        self._arrive()

    def _arrive(self) -> None:
        """Turn to the requests that are due, and come back when the next one is."""
        if self._over.done():
            return
        count, starts_s = len(self._due_s), self._orders.starts_s
        now_s = self._loop.time() - starts_s
        while self._next < count and self._due_s[self._next] <= now_s:
            self._notes.handled_s[self._next] = now_s
            self._waiting.append(self._next)
            self._next += 1
        self._send()
        if self._next < count:
            self._loop.call_at(starts_s + self._due_s[self._next], self._arrive)
        else:
            ran_s = time.process_time() - self._began_cpu_s
            self._notes.busy = ran_s / (self._loop.time() - starts_s)

    def _send(self) -> None:
        """Send what is due over idle connections; they take turns, as separate callers would."""
        while self._waiting and self._idle:
            caller = self._idle.popleft()
            if caller.transport.is_closing():
                continue  # its end will be noted, and another takes its place
            caller.index = self._waiting.popleft()
            caller.keeps = caller.index in self._sampled
            caller.send(self._request(self._orders.first + caller.index))

    def _fault(self, caller: Caller) -> str:
        """Return what is wrong with the answer to a caller, or nothing."""
        if caller.status in REFUSALS:
            return ""
        if caller.status != 200:
            return f"the status is {caller.status}, wanted 200, or a refusal by {REFUSALS}"
        wanted = FORMS[self._orders.kind.form]
        found, length = TYPE.search(caller.head), LENGTH.search(caller.head)
        if found is None or found[1].decode() != wanted:
            return f"the Content-Type is not {wanted}: {caller.head!r}"
        if self._orders.length is not None and (
            not length or int(length[1]) != self._orders.length
        ):
            return f"an answer has not the {self._orders.length} bytes of the first ones"
        return ""

    def _close_one(self) -> None:
        self._open -= 1
        if not self._open:
            self._over.set_result(None)

    async def _connect(self) -> None:
        """Open a connection, and use it."""
        caller = await self._open_connection(lambda: Caller(self))
        self._callers.add(caller)
        self._idle.append(caller)
        self._send()

    def _connected(self, task: "asyncio.Task[None]") -> None:
        self._connecting.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not self._over.done():
            self._over.set_exception(error)

    async def _compare(self) -> None:
        """Ask for the samples again, each over a connection of its own, and compare the bytes."""
        for index, first in self._samples.items():
            again = await self._open_connection(Connection)
            again.keeps = True
            try:
                async with asyncio.timeout(self._orders.patience_s):
                    status = await again.ask(self._request(self._orders.first + index))
            except TimeoutError:
                raise WrongAnswer(f"{self._orders.kind}: a second request got no answer") from None
            finally:
                again.transport.abort()
            if status == 200 and again.body != first:
                raise WrongAnswer(f"{self._orders.kind}: a second request gave other bytes")
            self._notes.compared += status == 200

    async def _open_connection(self, protocol: Callable[[], Reader]) -> Reader:
        place = urlsplit(self._orders.url)
        _, reader = await self._loop.create_connection(
            protocol, place.hostname or "", place.port or 80
        )
        return reader
