"""The requests of one HTTP worker that are on their way to the engines, and their answers.

When an engine dies, everything unanswered is submitted again, to another or to the next, and
callers see latency, not an error.
"""

import itertools
import logging
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
from gevent.hub import Waiter
from gevent.monkey import get_original

from server.engine.batcher import EXPRESS_ROWS
from server.errors import ClientGone, DeadlineExceeded, QueueFull
from server.ipc.arena import Arena
from server.ipc.messages import Cancel, Result, Status, Submit
from server.observability import metrics
from server.worker.arena_slots import ArenaSlots
from server.worker.engine_balancer import Backend, Balancer
from server.worker.request_terms import Refusal, RequestTerms

log = logging.getLogger(__name__)

SWEEP_S = 0.25
"""How often overdue calls, and callers that hung up, are looked for."""
GRACE_S = 1.0
"""How long after a deadline the engine's own word on it is waited for."""
LOSSES = 3
"""A request that so many engines died with while they ran it is given to no other: it may be what
kills them."""

HUNG_UP = object()
"""What a request is woken with whose caller is gone."""


class InflightRequest:
    """One request on its way; its slot stays taken until the engine can no longer write to it."""

    __slots__ = (
        "abandoned", "accepted", "backend", "deadline", "lost", "model", "offset", "request_id",
        "rows", "seed", "terms", "tried", "waiter",
    )  # fmt: skip

    def __init__(
        self,
        request_id: int,
        model: int,
        seed: int,
        rows: int,
        offset: int,
        deadline: float,
        terms: RequestTerms,
    ) -> None:
        self.request_id = request_id
        self.model = model
        self.seed = seed
        self.rows = rows
        self.offset = offset
        self.deadline = deadline
        self.terms = terms
        self.backend: Backend | None = None
        """Which engine has it; None while there is none."""
        self.tried: tuple[Backend, ...] = ()
        """Which engines have refused it."""
        self.lost = 0
        """How many engines have died while they ran it."""
        self.accepted = False
        """Whether one of them had it: the next one does not refuse it."""
        self.waiter: Any = Waiter()
        self.abandoned = False


class Inflight:
    """Submits requests to the engines of ``balancer``, and wakes those who wait for the answers.

    Their images lie in slots of ``arena``; a request that finds no room waits for others to finish,
    unless that would take too long.
    """

    def __init__(
        self, balancer: Balancer, arena: Arena, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._balancer = balancer
        self._clock = clock
        self._arena = arena
        self._slots = ArenaSlots(arena.size, clock)
        self._inflight: dict[int, InflightRequest] = {}
        self._ids = itertools.count(1)
        self._hub = gevent.get_hub()
        self._sweeper = gevent.spawn(self._sweep)

    def __len__(self) -> int:
        return len(self._inflight)

    def __iter__(self) -> Iterator[InflightRequest]:
        return iter(self._inflight.values())

    @property
    def most_bytes(self) -> int:
        """Of the images of one request."""
        return self._slots.most

    def begin(
        self, model: int, seed: int, rows: int, size: int, deadline: float, terms: RequestTerms
    ) -> InflightRequest:
        """Submit a request, once there is a slot of ``size`` bytes for its images.

        Raises:
            QueueFull: there would be none in time.
            DeadlineExceeded: there was none.
            ClientGone: the caller hung up before there was one.
        """
        small = rows <= EXPRESS_ROWS and not terms.bulk
        offset = self._slots.find(size, small)
        if offset is None:
            offset = self._wait_for_room(model, rows, size, small, deadline, terms)
        request = InflightRequest(next(self._ids), model, seed, rows, offset, deadline, terms)
        self._inflight[request.request_id] = request
        self._submit(request)
        return request

    def wait(self, request: InflightRequest) -> Any:
        """Wait for the engine's word, a ``Result``.

        Or for ``HUNG_UP``: the caller is gone; or None: there was no word in time.
        """
        return request.waiter.get()

    def finish(self, request: InflightRequest) -> None:
        """End a request: free its slot, unless the engine may still write there."""
        if request.request_id in self._inflight and request.backend:
            request.abandoned = True
            request.backend.connection.say(Cancel(request.request_id))
        else:
            self._inflight.pop(request.request_id, None)
            self._free(request)

    def close(self) -> None:
        """Look for overdue calls no more."""
        gevent.kill(self._sweeper)

    # on the event loop: what engines say, and that they come and go

    def submit_waiting(self) -> None:
        """An engine has come: send it what has been waiting for one."""
        for request in list(self):
            if request.backend is None:
                self._submit(request)

    def submit_again(self, gone: Backend) -> None:
        """Submit anew what an engine had that is gone; what it could write to is free."""
        lost = [request for request in self if request.backend is gone]
        if lost:
            log.warning("an engine is gone; %d requests go to another, or the next", len(lost))
        for request in lost:
            request.lost += self._arena.runs(request.offset)
            request.accepted = True
            if request.abandoned:
                del self._inflight[request.request_id]
                self._free(request)
            elif request.lost < LOSSES:
                self._submit(request)
            else:
                log.error("%d engines died with request %d: it fails", LOSSES, request.request_id)
                del self._inflight[request.request_id]
                failed = Result(request.request_id, Status.FAILED, 0.0, 0.0, 0, 0, 0.0, 0.0)
                self._hub.loop.run_callback(request.waiter.switch, failed)

    def deliver(self, backend: Backend, result: Result) -> None:
        """Wake who waits for ``result``; what was refused is offered to another engine first."""
        request = self._inflight.get(result.request_id)
        if request is None or request.backend is not backend:
            return
        backend.answered(result, request.rows, self._clock())
        if result.status == Status.FULL:
            self._note_refusal(backend, request, result)
            if self._submit_elsewhere(request):
                return
        del self._inflight[result.request_id]
        if request.abandoned:
            self._free(request)
        else:
            request.waiter.switch(result)

    # submitting

    def _submit(self, request: InflightRequest) -> None:
        """Send a request to an engine; while there is none, it waits for the first."""
        now = self._clock()
        backend = self._balancer.choose(
            request.model, request.rows, request.terms, now, request.tried
        )
        request.backend = backend
        if backend is None:
            return
        backend.asked(request.rows, now)
        self._arena.mark(request.offset, runs=False)
        submit = Submit(
            request.request_id,
            request.model,
            request.seed,
            request.offset,
            request.rows,
            request.deadline,
            request.terms.bulk,
            request.accepted,
        )
        backend.connection.say(submit)

    def _note_refusal(self, backend: Backend, request: InflightRequest, result: Result) -> None:
        now = self._clock()
        queue = (result.waiting_rows, result.limit_rows, result.wait_s)
        until = now + result.retry_after_s
        backend.refusal = Refusal(request.model, request.rows, request.terms, now, until, queue)
        request.tried += (backend,)

    def _submit_elsewhere(self, request: InflightRequest) -> bool:
        """Ask an engine that has not refused the request yet, if there is one."""
        if request.abandoned or not self._balancer.others(request.model, request.tried):
            return False
        self._submit(request)
        return True

    # slots

    def _wait_for_room(
        self, model: int, rows: int, size: int, small: bool, deadline: float, terms: RequestTerms
    ) -> int:
        """Return the offset of a slot once there is one; who waits longer already goes first."""
        now = self._clock()
        ahead = sum(waiting.rows for waiting in self._slots.waiting)
        wait_s, limit = self._balancer.soonest(model, ahead + rows, now)
        if now + wait_s > deadline:
            metrics.REJECTED.labels("no_room").inc()
            raise QueueFull(ahead + rows, limit, wait_s, now + wait_s - deadline)
        try:
            return self._slots.wait(size, small, rows, terms.peer, deadline, terms.timeout_s)
        except DeadlineExceeded:
            metrics.DROPPED.labels("deadline").inc(rows)
            raise
        except ClientGone:
            metrics.DROPPED.labels("client_gone").inc(rows)
            raise

    def _free(self, request: InflightRequest) -> None:
        self._slots.give_back(request.offset)

    # giving up

    def _sweep(self) -> None:
        """End the calls whose deadline passed without a word, and those nobody waits for."""
        while True:
            gevent.sleep(SWEEP_S)
            overdue = self._clock() - (GRACE_S if self._balancer.up else 0)
            peers = [request.terms.peer for request in self] + [x.peer for x in self._slots.waiting]
            gone = hung_up(peer for peer in peers if peer is not None)
            for waiting in list(self._slots.waiting):
                if waiting.peer in gone:
                    self._slots.hang_up(waiting)
            for request in list(self):
                if request.terms.peer in gone:
                    self._hub.loop.run_callback(self._give_up, request, HUNG_UP)
                elif request.deadline < overdue:
                    self._hub.loop.run_callback(self._give_up, request, None)

    def _give_up(self, request: InflightRequest, why: object) -> None:
        if request.request_id in self._inflight and not request.abandoned:
            if request.backend is None:  # no engine will count it
                reason = "client_gone" if why is HUNG_UP else "deadline"
                metrics.DROPPED.labels(reason).inc(request.rows)
            request.waiter.switch(why)


def hung_up(sockets: Iterable[int]) -> set[int]:
    """Return those of these descriptors at whose other end nobody is any more."""
    poll = get_original("select", "poll")()
    for descriptor in sockets:
        poll.register(descriptor, select.POLLRDHUP)
    return {descriptor for descriptor, _ in poll.poll(0)}
