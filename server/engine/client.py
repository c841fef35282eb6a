"""The HTTP worker's side of the engine: one connection, many greenlets waiting on it.

Submits that are waiting together leave in one packet, and answers are handed to their greenlets
straight from the event loop. When the engine dies, the latents still lie in this worker's arena:
the client reconnects and submits everything unanswered again, and callers see latency, not an
error.
"""

import itertools
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent.hub import Waiter
from gevent.monkey import get_original
from numpy.typing import NDArray

from server import metrics
from server.engine import wire
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidRequest,
    QueueFull,
    ServingError,
)
from server.latents import latents_range

log = logging.getLogger(__name__)

RECONNECT_S = 0.05
"""Pause between two tries to reach the engine."""
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

    rows: int
    terms: Terms
    until: float
    """When it would be no more."""
    queue: tuple[int, int, float]
    """Rows that waited, how many may, and how long they would have taken in seconds."""

    def again(self, now: float) -> QueueFull:
        """Return the same word anew: an error that is raised again and again keeps every trace."""
        return QueueFull(*self.queue, self.until - now)

    def holds_for(self, rows: int, terms: Terms, now: float) -> bool:
        """Whether one of ``rows`` rows on ``terms`` need not ask: it wants as much, or more."""
        return (
            now < self.until
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


class Call:
    """One request on its way; its slot stays taken until the engine can no longer write to it."""

    __slots__ = ("abandoned", "bulk", "deadline", "offset", "peer", "rows", "waiter")

    def __init__(self, offset: int, rows: int, deadline: float, terms: Terms) -> None:
        self.offset = offset
        self.rows = rows
        self.deadline = deadline
        self.bulk = terms.bulk
        self.peer = terms.peer
        self.waiter: Any = Waiter()
        self.abandoned = False


class EngineClient:
    """Turns seeds into images through the engine listening at ``path``.

    ``arena_bytes`` of shared memory hold what is on its way; a request that finds no room waits
    for others to finish.
    """

    def __init__(
        self,
        path: Path,
        shape: wire.SlotShape,
        arena_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._shape = shape
        self._clock = clock
        self._arena = wire.Arena.create(arena_bytes, shape)
        self._slots = wire.Slots(arena_bytes)
        self._max_rows = shape.rows_in(arena_bytes)
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._outbox: deque[wire.Submit] = deque()
        self._cancels: deque[wire.Cancel] = deque()
        self._flushing = False
        self._room: deque[Any] = deque()
        self._refusal: Refusal | None = None
        """The newest one: latents that are not made cost nothing."""
        self._sock: Any = None
        self._watcher: Any = None
        self._hub = gevent.get_hub()
        self._tasks = [gevent.spawn(self._stay_connected), gevent.spawn(self._sweep)]

    @property
    def ready(self) -> bool:
        """Whether an engine answers: it opens its socket when the model has passed its test."""
        return self._sock is not None

    @contextmanager
    def generate(self, seed: int, n: int, terms: Terms) -> Iterator[Generated]:
        """Draw the images ``seed`` to ``seed + n - 1``; they are valid inside the context only.

        Raises:
            EngineUnavailable: no engine appeared in time.
            ClientGone: the caller hung up.
            QueueFull, DeadlineExceeded, InferenceFailed: the engine's own word.
        """
        if n > self._max_rows:
            raise InvalidRequest("n", n, f"at most {self._max_rows}: the arena holds no more")
        now = self._clock()
        if self._refusal and self._refusal.holds_for(n, terms, now):
            metrics.REJECTED.labels("queue_full").inc()
            raise self._refusal.again(now)
        deadline = now + terms.timeout_s
        call = Call(self._take_slot(n, deadline, terms.timeout_s), n, deadline, terms)
        self._arena.latents(call.offset, n)[:] = latents_range(seed, n, self._shape.latent_dim)
        request_id = next(self._ids)
        self._calls[request_id] = call
        try:
            self._submit(request_id, call)
            result = call.waiter.get()
            if result is None:
                raise DeadlineExceeded(terms.timeout_s) if self.ready else EngineUnavailable()
            if result is HUNG_UP:
                raise ClientGone
            try:
                _raise_for(result, terms.timeout_s)
            except QueueFull as full:
                until = self._clock() + result.retry_after_s
                self._refusal = Refusal(n, terms, until, (full.rows, full.limit, full.wait_s))
                raise
            images = self._arena.images(call.offset, n)
            yield Generated(images, result.queue_s, result.infer_s)
        finally:
            self._finish(request_id, call)

    def close(self) -> None:
        """Hang up: the engine drops what this worker still waits for."""
        gevent.killall(self._tasks)
        self._disconnect()
        self._arena.close()

    # slots

    def _take_slot(self, rows: int, deadline: float, timeout_s: float) -> int:
        size = self._shape.size(rows)
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
            self._cancels.append(wire.Cancel(request_id))
            self._flush_soon()
        else:
            self._free(call)

    def _free(self, call: Call) -> None:
        self._slots.give_back(call.offset)
        while self._room:
            self._hub.loop.run_callback(self._room.popleft().switch, None)

    # sending and receiving, on the event loop

    def _submit(self, request_id: int, call: Call) -> None:
        submit = wire.Submit(request_id, call.offset, call.rows, call.deadline, call.bulk)
        self._outbox.append(submit)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._hub.loop.run_callback(self._flush)

    def _flush(self) -> None:
        """Send everything that waits, as few packets as it fits in."""
        self._flushing = False
        if self._sock is None:
            self._outbox.clear()  # it goes out again with the next connection
            self._cancels.clear()
            return
        try:
            self._send(wire.pack_submits, self._outbox)
            self._send(wire.pack_cancels, self._cancels)
        except BlockingIOError:
            self._flushing = True
            gevent.spawn_later(0.001, self._flush)
        except OSError:
            self._disconnect()

    def _send(self, pack: Callable[[Any], Iterator[bytes]], waiting: deque[Any]) -> None:
        if waiting:
            for packet in pack(waiting):
                self._sock.send(packet)
                for _ in range(min(wire.PACKET, len(waiting))):
                    waiting.popleft()

    def _receive(self) -> None:
        try:
            while packet := self._sock.recv(wire.MAX_PACKET):
                for result in wire.unpack_results(packet):
                    self._deliver(result)
                if self._sock is None:
                    return
            self._disconnect()
        except BlockingIOError:
            return
        except OSError:
            self._disconnect()

    def _deliver(self, result: wire.Result) -> None:
        call = self._calls.pop(result.request_id, None)
        if call is None:
            return
        if call.abandoned:
            self._free(call)
        else:
            call.waiter.switch(result)

    # connecting

    def _stay_connected(self) -> None:
        while True:
            if self._sock is None:
                self._connect()
            gevent.sleep(RECONNECT_S)

    def _connect(self) -> None:
        # Not gevent's socket: reads and writes happen on the event loop and never block.
        sock = get_original("socket", "socket")(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(str(self._path))
            wire.send_hello(sock, self._arena)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        self._sock = sock
        self._watcher = self._hub.loop.io(sock.fileno(), 1)
        self._watcher.start(self._receive)
        self._outbox.clear()
        self._cancels.clear()
        self._resubmit()

    def _resubmit(self) -> None:
        for request_id, call in list(self._calls.items()):
            if call.abandoned:  # the engine that could have written there is gone
                del self._calls[request_id]
                self._free(call)
            else:
                self._submit(request_id, call)

    def _disconnect(self) -> None:
        if self._sock is None:
            return
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
        self._sock = None
        if self._calls:
            log.warning("the engine is gone; %d requests wait for the next", len(self._calls))

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
