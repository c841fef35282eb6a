"""The requests of one HTTP worker that are on their way to the engines, and their answers.

When an engine dies, everything unanswered is submitted again, to another or to the next, and
callers see latency, not an error.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.admission import in_time_in_s
from server.errors import ClientGone, DeadlineExceeded, QueueFull
from server.ipc.arena import Arena, size_of_given
from server.ipc.messages import Cancel, Result, Status
from server.ipc.sources import Source
from server.observability import metrics
from server.queue_state import QueueState
from server.worker.arena_slots import ArenaSlots, SentRows
from server.worker.engine_balancer import Backend, Balancer
from server.worker.event_loop import EventLoop
from server.worker.inflight_request import HUNG_UP, InflightRequest
from server.worker.peer import hung_up
from server.worker.request_terms import Refusal, RequestTerms

log = logging.getLogger(__name__)

SWEEP_S = 0.25
"""How often overdue requests, and callers that hung up, are looked for."""
GRACE_S = 1.0
"""How long after a deadline the engine's own answer is waited for."""
LOSSES = 3
"""A request that so many engines died with while they ran it is given to no other: it may be what
kills them."""
FULL = Status.FULL
"""Looking up a member of an enum takes a tenth of a microsecond in Python 3.11."""


class Inflight:
    """Submits requests to the engines of ``balancer``, and wakes those who wait for the answers.

    The images of a request lie in a slot of ``arena``. A request that finds no slot waits for
    others to finish, unless that would take too long.
    """

    def __init__(
        self,
        balancer: Balancer,
        arena: Arena,
        loop: EventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._balancer = balancer
        self._loop = loop
        self._clock = clock
        self._arena = arena
        self._slots = ArenaSlots(arena.size, loop, clock)
        self._requests: dict[int, InflightRequest] = {}
        self._ids = itertools.count(1)
        self._stop_sweeping = loop.call_periodically(SWEEP_S, self._sweep)

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[InflightRequest]:
        return iter(self._requests.values())

    @property
    def most_bytes(self) -> int:
        """Bytes that the images of one request may have."""
        return self._slots.most

    def begin(
        self,
        model: int,
        source: Source,
        size: int,
        deadline: float,
        terms: RequestTerms,
        classes: int | NDArray[np.int32],
    ) -> InflightRequest:
        """Submit a request, once there is a slot: ``size`` bytes for its images, and more for the
        rows that its source gives and for ``classes``, if there is one for each row.

        Raises:
            QueueFull: there would be none in time.
            DeadlineExceeded: there was none in time.
            ClientGone: the caller hung up before there was one.
        """
        each = None if isinstance(classes, int) else classes
        images_size, given = size, [x for x in (source.given, each) if x is not None]
        size += sum(map(size_of_given, given))
        offset = self._slots.find(size, source.n, terms)
        if offset is None:
            offset = self._wait_for_slot(model, source.n, size, deadline, terms)
        self._arena.give(given, offset + images_size)
        number, waiter = next(self._ids), self._loop.waiter()
        request = InflightRequest(number, model, source, offset, deadline, terms, waiter, classes)
        self._requests[number] = request
        self._submit(request)
        return request

    def wait(self, request: InflightRequest) -> Any:
        """Return the engine's answer, a ``Result``.

        Or return ``HUNG_UP`` when the caller is gone, and None when there was no answer in time.
        """
        return request.waiter.wait()

    def finish(self, request: InflightRequest) -> None:
        """End a request: free its slot, unless the engine may still write there."""
        if request.request_id in self._requests and request.backend:
            request.abandoned = True
            request.backend.connection.send(Cancel(request.request_id))
        else:
            self._forget(request)

    def close(self) -> None:
        """Look for overdue requests no more."""
        self._stop_sweeping()

    # callbacks of the event loop: what engines say, and that they come and go

    def submit_waiting(self) -> None:
        """Send an engine that has come what has been waiting for one."""
        for request in list(self):
            if request.backend is None:
                self._submit(request)

    def submit_again(self, gone: Backend) -> None:
        """Submit anew what an engine had that is gone; it writes to no slot any more."""
        lost = [request for request in self if request.backend is gone]
        if lost:
            log.warning("an engine is gone; %d requests go to another, or the next", len(lost))
        for request in lost:
            request.lost += self._arena.runs(request.offset)
            request.accepted = True
            if request.abandoned:
                self._forget(request)
            elif request.lost < LOSSES:
                self._submit(request)
            else:
                log.error("%d engines died with request %d: it fails", LOSSES, request.request_id)
                del self._requests[request.request_id]
                failed = Result(request.request_id, Status.FAILED, 0.0, 0.0, 0, QueueState())
                self._loop.call_soon(request.waiter.wake, failed)

    def deliver(self, backend: Backend, result: Result) -> None:
        """Wake who waits for ``result``; a refused request is offered to another engine first."""
        request = self._requests.get(result.request_id)
        if request is None or request.backend is not backend:
            return
        backend.answered(result.queue, request.rows, self._clock())
        if result.status == FULL:
            self._note_refusal(backend, request, result.queue)
            if self._submit_elsewhere(request):
                return
        if request.abandoned:
            self._forget(request)
        else:
            del self._requests[result.request_id]
            request.waiter.wake(result)

    # submitting

    def _submit(self, request: InflightRequest) -> None:
        """Send a request to an engine; while there is none, it waits for the first."""
        now, terms = self._clock(), request.terms
        backend = self._balancer.choose(request.model, request.rows, terms, now, request.tried)
        request.backend = backend
        if backend is None:
            return
        backend.asked(request.rows, now)
        self._arena.mark(request.offset, runs=False)
        backend.connection.send(request.submit())

    def _note_refusal(self, backend: Backend, request: InflightRequest, queue: QueueState) -> None:
        now = self._clock()
        until = now + queue.retry_after_s
        terms = request.terms._replace(peer=None)  # the refusal outlasts the caller's connection
        backend.refusal = Refusal(request.model, request.rows, terms, now, until, queue)
        request.tried += (backend,)

    def _submit_elsewhere(self, request: InflightRequest) -> bool:
        """Ask an engine that has not refused the request yet, if there is one."""
        if request.abandoned or not self._balancer.others(request.model, request.tried):
            return False
        self._submit(request)
        return True

    # slots

    def _wait_for_slot(
        self, model: int, rows: int, size: int, deadline: float, terms: RequestTerms
    ) -> int:
        """Return the offset of a slot once there is one; requests before it in line go first."""
        now = self._clock()
        sent = SentRows(request.rows for request in self)

        def queue(first: int) -> QueueState:
            return self._balancer.expected_queue(model, first, now, sent.share_before(first))

        before, after = self._slots.around(rows, terms)
        ahead = sum(waiting.left for waiting in before)
        wait_s = lambda first: queue(first).wait_s  # noqa: E731
        again_s = in_time_in_s(rows, deadline, ahead, after, wait_s, now)
        if again_s > 0 and deadline > now:
            metrics.REJECTED.labels("no_room").inc()
            raise QueueFull(queue(ahead + rows)._replace(retry_after_s=again_s))
        try:
            return self._slots.wait(size, rows, terms, deadline)
        except DeadlineExceeded:
            metrics.DROPPED.labels("deadline").inc(rows)
            raise
        except ClientGone:
            metrics.DROPPED.labels("client_gone").inc(rows)
            raise

    def _forget(self, request: InflightRequest) -> None:
        """End a request that no engine will answer, and free its slot."""
        self._requests.pop(request.request_id, None)
        self._slots.give_back(request.offset)

    # giving up

    def _sweep(self) -> None:
        """End the requests whose deadline passed without an answer, or whose callers hung up."""
        overdue = self._clock() - (GRACE_S if self._balancer.up else 0)
        peers = [request.terms.peer for request in self] + [x.peer for x in self._slots.waiting]
        gone = hung_up(self._loop, (peer for peer in peers if peer is not None))
        for waiting in list(self._slots.waiting):
            if waiting.peer in gone:
                self._slots.hang_up(waiting)
        for request in self:
            if request.terms.peer in gone:
                self._loop.call_soon(self._give_up, request, HUNG_UP)
            elif request.deadline < overdue:
                self._loop.call_soon(self._give_up, request, None)

    def _give_up(self, request: InflightRequest, why: object) -> None:
        """Wake who waits for ``request`` with ``why``, unless it has ended meanwhile."""
        if request.request_id in self._requests and not request.abandoned:
            if request.backend is None:  # no engine will count it
                reason = "client_gone" if why is HUNG_UP else "deadline"
                metrics.DROPPED.labels(reason).inc(request.rows)
            request.waiter.wake(why)
