"""The HTTP worker's side of the engine: many greenlets, each waiting for its images.

When the engine dies, the client submits everything unanswered again to the next, and callers see
latency, not an error.
"""

import itertools
import logging
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent.event import AsyncResult
from gevent.hub import Waiter
from gevent.monkey import get_original
from numpy.typing import NDArray

from server import metrics
from server.bundle import BundleError
from server.catalog import Catalog, Entry
from server.engine import wire
from server.engine.line import Line
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ServingError,
)

log = logging.getLogger(__name__)

SWEEP_S = 0.25
"""How often overdue calls, and callers that hung up, are looked for."""
GRACE_S = 1.0
"""How long after a deadline the engine's own word on it is waited for."""


@dataclass(frozen=True)
class Terms:
    """On which terms a caller asks for images."""

    timeout_s: float
    """How long it is willing to wait."""
    bulk: bool = False
    """Whether it lets others go first."""
    peer: int | None = None
    """The descriptor of its socket, to notice when it hangs up; None asks nobody."""


@dataclass(frozen=True)
class Refusal:
    """The engine's word that a request of ``rows`` rows on ``terms`` would be late."""

    model: int
    rows: int
    terms: Terms
    until: float
    """When it would be no more."""
    queue: tuple[int, int, float]
    """Rows that waited, how many may, and how long they would have taken in seconds."""

    def again(self, now: float) -> QueueFull:
        """Return the same word anew: an error that is raised again and again keeps every trace."""
        return QueueFull(*self.queue, self.until - now)

    def holds_for(self, model: int, rows: int, terms: Terms, now: float) -> bool:
        """Whether one of ``rows`` rows on ``terms`` need not ask: it wants as much, or more."""
        return (
            now < self.until
            and model == self.model
            and rows >= self.rows
            and terms.timeout_s <= self.terms.timeout_s
            and terms.bulk >= self.terms.bulk
        )


@dataclass
class Generated:
    """Images in shared memory, to be read before the context ends, and what they took."""

    images: NDArray[np.uint8]
    """uint8 [n, H, W, C], RGB."""
    queue_s: float
    infer_s: float
    model: Entry
    """Which bundle drew them."""


class Call:
    """One request on its way; its slot stays taken until the engine can no longer write to it."""

    __slots__ = (
        "abandoned", "bulk", "deadline", "model", "offset", "peer", "rows", "seed", "waiter"
    )  # fmt: skip

    def __init__(
        self, model: int, seed: int, offset: int, rows: int, deadline: float, terms: Terms
    ) -> None:
        self.model = model
        self.seed = seed
        self.offset = offset
        self.rows = rows
        self.deadline = deadline
        self.bulk = terms.bulk
        self.peer = terms.peer
        self.waiter: Any = Waiter()
        self.abandoned = False


class EngineClient:
    """Turns seeds into images through the engine listening at ``path``.

    ``catalog`` is the file that says what is served. ``arena_bytes`` of shared memory hold what is
    on its way; a request that finds no room waits for others to finish.

    Raises:
        BundleError: there is no catalog yet.
    """

    def __init__(
        self,
        path: Path,
        catalog: Path,
        arena_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog_path = catalog
        self._clock = clock
        self._arena = wire.Arena.create(arena_bytes)
        self._slots = wire.Slots(arena_bytes)
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._asked: dict[int, Any] = {}
        """Waiters of what administrators want."""
        self._room: deque[Any] = deque()
        self._refusal: Refusal | None = None
        """The newest one: what would be refused again need not be asked."""
        self.catalog = Catalog.read(catalog)
        """What is served, as of now."""
        self._shapes: dict[int, wire.SlotShape] = {}
        self._hub = gevent.get_hub()
        self._line = Line(path, self._arena, self._deliver, self._on_up, self._on_down)
        self._sweeper = gevent.spawn(self._sweep)

    @property
    def ready(self) -> bool:
        """Whether an engine answers: it opens its socket when the model has passed its test."""
        return self._line.up

    @contextmanager
    def generate(
        self, seed: int, n: int, terms: Terms, name: str | None = None, version: str | None = None
    ) -> Iterator[Generated]:
        """Draw the images ``seed`` to ``seed + n - 1``; they are valid inside the context only.

        By the model and version that are named, or those of the catalog.

        Raises:
            ModelNotFound, ModelUnavailable: the model cannot be drawn with.
            EngineUnavailable: no engine appeared in time.
            ClientGone: the caller hung up.
            QueueFull, DeadlineExceeded, InferenceFailed: the engine's own word.
        """
        deadline = self._clock() + terms.timeout_s
        while True:
            entry = self._find(name, version)
            request_id, call = self._begin(entry, seed, n, terms, deadline)
            try:
                result = self._result(call, terms)
                if result.status != wire.Status.STALE:
                    images = self._arena.images(self._shape(entry), call.offset, n)
                    yield Generated(images, result.queue_s, result.infer_s, entry)
                    return
            finally:
                self._finish(request_id, call)
            self._look_again(entry)

    def administer(self, action: str, name: str, version: str, timeout_s: float) -> None:
        """Have the engine ``load`` or ``unload`` a model, and wait until it is done.

        Raises:
            LoadFailed: it cannot be.
            EngineUnavailable, DeadlineExceeded: no engine was there, or none is any more.
        """
        if not self.ready:
            raise EngineUnavailable
        ask_id = next(self._ids)
        waiter = self._asked[ask_id] = AsyncResult()
        try:
            self._line.say(wire.Ask(ask_id, action, name, version))
            told = waiter.get(timeout=timeout_s)
        except gevent.Timeout as error:
            raise DeadlineExceeded(timeout_s) from error
        finally:
            del self._asked[ask_id]
        if told is None:
            raise EngineUnavailable("the engine ended while it was at it; look whether it is done")
        if told.error:
            raise LoadFailed(told.error)

    def close(self) -> None:
        """Hang up: the engine drops what this worker still waits for."""
        gevent.kill(self._sweeper)
        self._line.close()
        self._arena.close()

    # one call

    def _find(self, name: str | None, version: str | None) -> Entry:
        """Return the bundle that is called so; until the engine has spoken, none is missing."""
        try:
            return self.catalog.find(name, version)
        except ModelNotFound as error:
            if self.ready:
                raise
            raise EngineUnavailable from error

    def _begin(
        self, entry: Entry, seed: int, n: int, terms: Terms, deadline: float
    ) -> tuple[int, Call]:
        """Take a slot for a request and submit it."""
        shape = self._shape(entry)
        most = shape.rows_in(self._arena.size)
        if n > most:
            raise InvalidRequest("n", n, f"at most {most}: the arena holds no more")
        now = self._clock()
        if self._refusal and self._refusal.holds_for(entry.key, n, terms, now):
            metrics.REJECTED.labels("queue_full").inc()
            raise self._refusal.again(now)
        offset = self._take_slot(shape.size(n), deadline, terms.timeout_s)
        call = Call(entry.key, seed, offset, n, deadline, terms)
        request_id = next(self._ids)
        self._calls[request_id] = call
        self._submit(request_id, call)
        return request_id, call

    def _result(self, call: Call, terms: Terms) -> wire.Result:
        """Wait for the engine's word, and raise what it says is wrong."""
        result = call.waiter.get()
        if result is None:
            raise DeadlineExceeded(terms.timeout_s) if self.ready else EngineUnavailable()
        if result is HUNG_UP:
            raise ClientGone
        try:
            _raise_for(result, terms.timeout_s)
        except QueueFull as full:
            until = self._clock() + result.retry_after_s
            queue = (full.rows, full.limit, full.wait_s)
            self._refusal = Refusal(call.model, call.rows, terms, until, queue)
            raise
        return result  # type: ignore[no-any-return]

    def _shape(self, entry: Entry) -> wire.SlotShape:
        shape = self._shapes.get(entry.key)
        if shape is None:
            assert entry.manifest is not None  # find has seen to it
            shape = wire.SlotShape(entry.manifest.image.shape)
            self._shapes[entry.key] = shape
        return shape

    def _look_again(self, stale: Entry) -> None:
        """Read the catalog anew: the engine does not serve ``stale`` any more.

        Raises:
            ModelUnavailable: the catalog still says that it does.
        """
        self._read_catalog()
        entry = self.catalog.entries.get(str(stale))
        if entry is not None and entry.key == stale.key:
            raise ModelUnavailable(str(stale), entry.state, "the engine does not have it")

    def _read_catalog(self) -> None:
        try:
            self.catalog = Catalog.read(self._catalog_path)
        except BundleError as error:
            log.error("%s", error)

    # slots

    def _take_slot(self, size: int, deadline: float, timeout_s: float) -> int:
        while (offset := self._slots.take(size)) is None:
            waiter = Waiter()
            self._room.append(waiter)
            left = deadline - self._clock()
            with gevent.Timeout(max(left, 0), False):
                waiter.get()
                continue
            raise DeadlineExceeded(timeout_s)
        return offset

    def _finish(self, request_id: int, call: Call) -> None:
        """End a call: free its slot, unless the engine may still write there."""
        if request_id in self._calls:
            call.abandoned = True
            self._line.say(wire.Cancel(request_id))
        else:
            self._free(call)

    def _free(self, call: Call) -> None:
        self._slots.give_back(call.offset)
        while self._room:
            self._hub.loop.run_callback(self._room.popleft().switch, None)

    # what is said and heard, on the event loop

    def _submit(self, request_id: int, call: Call) -> None:
        submit = wire.Submit(
            request_id,
            call.model,
            call.seed,
            call.offset,
            call.rows,
            call.deadline,
            call.bulk,
        )
        self._line.say(submit)

    def _deliver(self, message: wire.Message) -> None:
        if isinstance(message, wire.Result):
            self._deliver_result(message)
        elif isinstance(message, wire.Told) and message.ask_id in self._asked:
            self._asked[message.ask_id].set(message)
        elif isinstance(message, wire.Changed):
            self._read_catalog()

    def _deliver_result(self, result: wire.Result) -> None:
        call = self._calls.pop(result.request_id, None)
        if call is None:
            return
        if call.abandoned:
            self._free(call)
        else:
            call.waiter.switch(result)

    # the engine comes and goes

    def _on_up(self) -> None:
        self._read_catalog()  # another engine may serve other models
        self._resubmit()

    def _on_down(self) -> None:
        for waiter in self._asked.values():
            waiter.set(None)
        if self._calls:
            log.warning("the engine is gone; %d requests wait for the next", len(self._calls))

    def _resubmit(self) -> None:
        for request_id, call in list(self._calls.items()):
            if call.abandoned:  # the engine that could have written there is gone
                del self._calls[request_id]
                self._free(call)
            else:
                self._submit(request_id, call)

    def _sweep(self) -> None:
        """End the calls whose deadline passed without a word, and those nobody waits for."""
        while True:
            gevent.sleep(SWEEP_S)
            overdue = self._clock() - (GRACE_S if self.ready else 0)
            gone = hung_up(call.peer for call in self._calls.values() if call.peer is not None)
            for request_id, call in list(self._calls.items()):
                if call.peer in gone:
                    self._hub.loop.run_callback(self._give_up, request_id, call, HUNG_UP)
                elif call.deadline < overdue:
                    self._hub.loop.run_callback(self._give_up, request_id, call, None)

    def _give_up(self, request_id: int, call: Call, why: object) -> None:
        if request_id in self._calls and not call.abandoned:
            call.waiter.switch(why)


HUNG_UP = object()
"""What a call is woken with whose caller is gone."""


def hung_up(sockets: Iterable[int]) -> set[int]:
    """Return those of these descriptors at whose other end nobody is any more."""
    poll = get_original("select", "poll")()
    for descriptor in sockets:
        poll.register(descriptor, select.POLLRDHUP)
    return {descriptor for descriptor, _ in poll.poll(0)}


def _raise_for(result: wire.Result, timeout_s: float) -> None:
    error: ServingError | None = None
    if result.status == wire.Status.FULL:
        error = QueueFull(
            result.waiting_rows, result.limit_rows, result.wait_s, result.retry_after_s
        )
    elif result.status == wire.Status.EXPIRED:
        error = DeadlineExceeded(timeout_s)
    elif result.status == wire.Status.CANCELLED:
        error = ClientGone()
    elif result.status == wire.Status.FAILED:
        error = InferenceFailed()
    if error:
        raise error
