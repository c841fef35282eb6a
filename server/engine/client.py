"""The HTTP worker's side of the engines: many greenlets, each waiting for its images.

When an engine dies, the client submits everything unanswered again, to another or to the next, and
callers see latency, not an error.
"""

import itertools
import logging
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent
import numpy as np
from gevent.event import AsyncResult
from gevent.hub import Waiter
from gevent.monkey import get_original
from numpy.typing import NDArray

from server import metrics
from server.catalog import Catalog, Entry
from server.engine import wire
from server.engine.balancer import Backend, Balancer
from server.engine.terms import Refusal, Terms
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
from server.place import Place

log = logging.getLogger(__name__)

SWEEP_S = 0.25
"""How often overdue calls, and callers that hung up, are looked for."""
GRACE_S = 1.0
"""How long after a deadline the engine's own word on it is waited for."""
LOSSES = 3
"""A request that so many engines died with is given to no other: it may be what kills them."""


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
        "abandoned", "backend", "deadline", "lost", "model", "offset", "rows", "seed", "terms",
        "tried", "waiter",
    )  # fmt: skip

    def __init__(
        self, model: int, seed: int, offset: int, rows: int, deadline: float, terms: Terms
    ) -> None:
        self.model = model
        self.seed = seed
        self.offset = offset
        self.rows = rows
        self.deadline = deadline
        self.terms = terms
        self.backend: Backend | None = None
        """Which engine has it; None while there is none."""
        self.tried: tuple[Backend, ...] = ()
        """Which engines have refused it."""
        self.lost = 0
        """How many engines have died with it."""
        self.waiter: Any = Waiter()
        self.abandoned = False


class EngineClient:
    """Turns seeds into images through the engines of ``places``.

    ``arena_bytes`` of shared memory hold what is on its way; a request that finds no room waits for
    others to finish.

    Raises:
        BundleError: nobody has written down yet what is served.
    """

    def __init__(
        self,
        places: Sequence[Place],
        arena_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._arena = wire.Arena.create(arena_bytes)
        self._slots = wire.Slots(arena_bytes)
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[Backend, Any]] = {}
        """Of whom administrators want something, and who waits for it."""
        self._room: deque[Any] = deque()
        self._shapes: dict[int, wire.SlotShape] = {}
        self._hub = gevent.get_hub()
        self._balancer = Balancer(
            places, self._arena, self._deliver, self._submit_waiting, self._on_down
        )
        self._sweeper = gevent.spawn(self._sweep)

    @property
    def catalog(self) -> Catalog:
        """What is served, as of now."""
        return self._balancer.catalog

    @property
    def engines(self) -> list[bool]:
        """Which engines answer: each opens its socket when the model has passed its test."""
        return [backend.line.up for backend in self._balancer.backends]

    @property
    def ready(self) -> bool:
        """Whether an engine answers."""
        return any(self.engines)

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
        """Have every engine ``load`` or ``unload`` a model, and wait until it is done.

        Raises:
            LoadFailed: it cannot be.
            EngineUnavailable, DeadlineExceeded: no engine was there, or one is no more.
        """
        if not self.ready:
            raise EngineUnavailable
        asks = {next(self._ids): (backend, AsyncResult()) for backend in self._balancer.up}
        self._asked |= asks
        try:
            for ask_id, (backend, _) in asks.items():
                backend.line.say(wire.Ask(ask_id, action, name, version))
            with gevent.Timeout(timeout_s, DeadlineExceeded(timeout_s)):
                answers = [waiter.get() for _, waiter in asks.values()]
        finally:
            for ask_id in asks:
                del self._asked[ask_id]
        if None in answers:
            raise EngineUnavailable("an engine ended while it was at it; look whether it is done")
        for told in answers:
            if told.error:
                raise LoadFailed(told.error)

    def close(self) -> None:
        """Hang up: the engine drops what this worker still waits for."""
        gevent.kill(self._sweeper)
        self._balancer.close()
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
        if refusal := self._balancer.refusal(entry.key, n, terms, now):
            raise _counted(refusal.again(now))
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
        _raise_for(result, terms.timeout_s)
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
        for backend in self._balancer.up:
            self._balancer.look_again(backend)
        entry = self.catalog.entries.get(str(stale))
        if entry is not None and entry.key == stale.key:
            raise ModelUnavailable(str(stale), entry.state, "the engine does not have it")

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
        if request_id in self._calls and call.backend:
            call.abandoned = True
            call.backend.line.say(wire.Cancel(request_id))
        else:
            self._calls.pop(request_id, None)
            self._free(call)

    def _free(self, call: Call) -> None:
        self._slots.give_back(call.offset)
        while self._room:
            self._hub.loop.run_callback(self._room.popleft().switch, None)

    # what is said and heard, on the event loop

    def _submit(self, request_id: int, call: Call) -> None:
        """Send a request to an engine; while there is none, it waits for the first."""
        now = self._clock()
        backend = self._balancer.choose(call.model, call.rows, call.terms, now, call.tried)
        call.backend = backend
        if backend is None:
            return
        backend.asked(call.rows, now)
        submit = wire.Submit(
            request_id,
            call.model,
            call.seed,
            call.offset,
            call.rows,
            call.deadline,
            call.terms.bulk,
        )
        backend.line.say(submit)

    def _submit_waiting(self) -> None:
        """An engine has come: send it what has been waiting for one."""
        for request_id, call in list(self._calls.items()):
            if call.backend is None:
                self._submit(request_id, call)

    def _deliver(self, backend: Backend, message: wire.Message) -> None:
        if isinstance(message, wire.Result):
            self._deliver_result(backend, message)
        elif isinstance(message, wire.Told) and message.ask_id in self._asked:
            self._asked[message.ask_id][1].set(message)
        elif isinstance(message, wire.Changed):
            self._balancer.look_again(backend)

    def _deliver_result(self, backend: Backend, result: wire.Result) -> None:
        call = self._calls.get(result.request_id)
        if call is None or call.backend is not backend:
            return
        backend.answered(result, call.rows, self._clock())
        if result.status == wire.Status.FULL:
            self._note_refusal(backend, call, result)
            if self._submit_elsewhere(result.request_id, call):
                return
        del self._calls[result.request_id]
        if call.abandoned:
            self._free(call)
        else:
            call.waiter.switch(result)

    def _note_refusal(self, backend: Backend, call: Call, result: wire.Result) -> None:
        until = self._clock() + result.retry_after_s
        queue = (result.waiting_rows, result.limit_rows, result.wait_s)
        backend.refusal = Refusal(call.model, call.rows, call.terms, until, queue)
        call.tried += (backend,)

    def _submit_elsewhere(self, request_id: int, call: Call) -> bool:
        """Ask an engine that has not refused the request yet, if there is one."""
        if call.abandoned or not self._balancer.others(call.model, call.tried):
            return False
        self._submit(request_id, call)
        return True

    def _on_down(self, backend: Backend) -> None:
        """Submit anew what an engine had that is gone; what it could write to is free."""
        for asked, waiter in self._asked.values():
            if asked is backend:
                waiter.set(None)
        lost = [(i, call) for i, call in self._calls.items() if call.backend is backend]
        if lost:
            log.warning("an engine is gone; %d requests go to another, or the next", len(lost))
        for request_id, call in lost:
            call.lost += 1
            if call.abandoned:
                del self._calls[request_id]
                self._free(call)
            elif call.lost < LOSSES:
                self._submit(request_id, call)
            else:
                log.error("%d engines died with request %d: it fails", LOSSES, request_id)
                del self._calls[request_id]
                failed = wire.Result(request_id, wire.Status.FAILED, 0.0, 0.0, 0, 0, 0.0, 0.0)
                self._hub.loop.run_callback(call.waiter.switch, failed)

    def _sweep(self) -> None:
        """End the calls whose deadline passed without a word, and those nobody waits for."""
        while True:
            gevent.sleep(SWEEP_S)
            overdue = self._clock() - (GRACE_S if self.ready else 0)
            peers = (call.terms.peer for call in self._calls.values())
            gone = hung_up(peer for peer in peers if peer is not None)
            for request_id, call in list(self._calls.items()):
                if call.terms.peer in gone:
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
        error = _counted(
            QueueFull(result.waiting_rows, result.limit_rows, result.wait_s, result.retry_after_s)
        )
    elif result.status == wire.Status.EXPIRED:
        error = DeadlineExceeded(timeout_s)
    elif result.status == wire.Status.CANCELLED:
        error = ClientGone()
    elif result.status == wire.Status.FAILED:
        error = InferenceFailed()
    if error:
        raise error


def _counted(full: QueueFull) -> QueueFull:
    metrics.REJECTED.labels("queue_full").inc()
    return full
