"""The slots in the arena of an HTTP worker: one for each request, and a queue for those that wait.

The queue is fair, see ``server.fair_order``: a request for few images goes ahead of those for many,
until these would have had their turn. The first request waits until its slot is free, and nobody
overtakes it meanwhile: one that needs much would wait for ever. Small requests have a part of the
arena of their own, so that large ones, which fill the rest for as long as they take, are not in
their way.
"""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from server.errors import ClientGone, DeadlineExceeded
from server.fair_order import FairOrder, weight
from server.ipc.arena import ALIGN
from server.worker.event_loop import EventLoop, Waiter
from server.worker.peer import Peer
from server.worker.request_terms import RequestTerms

SMALL_PART = 32
"""One part in so many of the arena is for small requests alone."""


class FirstFit:
    """Hands out the ``size`` bytes of an arena from ``start`` on, first fit.

    Neighbours that are given back become one.
    """

    def __init__(self, size: int, start: int = 0) -> None:
        self.size = size
        self._free = [(start, size)]
        self._taken: dict[int, int] = {}

    @property
    def taken(self) -> int:
        """Bytes that are handed out."""
        return sum(self._taken.values())

    def take(self, size: int) -> int | None:
        """Return the offset of ``size`` free bytes, None when there are not so many together."""
        for i, (offset, free) in enumerate(self._free):
            if free >= size:
                self._taken[offset] = size
                if free > size:
                    self._free[i] = (offset + size, free - size)
                else:
                    del self._free[i]
                return offset
        return None

    def give_back(self, offset: int) -> None:
        """Free what ``take`` returned as ``offset``."""
        insort(self._free, (offset, self._taken.pop(offset)))
        merged: list[tuple[int, int]] = []
        for start, size in self._free:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self._free = merged


class WaitingRequest:
    """One request that waits for a slot of ``size`` bytes."""

    def __init__(
        self, size: int, rows: int, deadline: float, peer: Peer | None, waiter: Waiter
    ) -> None:
        self.size = size
        self.rows = self.left = rows
        """The number of its rows, all of which wait."""
        self.deadline = deadline
        self.peer = peer
        self.waiter = waiter
        """Woken when the waiting is over, whatever its end."""
        self.offset: int | None = None
        """The offset of its slot, once there is one."""
        self.hung_up = False
        """Whether the caller is gone."""


class ArenaSlots:
    """Hands out the slots of an arena of ``arena_bytes``."""

    def __init__(
        self, arena_bytes: int, loop: EventLoop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        part = arena_bytes // SMALL_PART // ALIGN * ALIGN
        self._small = FirstFit(part)
        self._large = FirstFit(arena_bytes - part, start=part)
        self._queues = {True: FairOrder(), False: FairOrder()}
        """The requests that wait: small ones, and large ones."""
        self._loop = loop
        self._clock = clock

    @property
    def most(self) -> int:
        """Bytes of the largest slot there can be."""
        return self._large.size

    @property
    def taken(self) -> int:
        """Bytes of all slots that are taken."""
        return self._small.taken + self._large.taken

    @property
    def waiting(self) -> Iterator[WaitingRequest]:
        """The requests that wait for a slot."""
        return (waiting for queue in self._queues.values() for waiting in queue)

    def find(self, size: int, rows: int, terms: RequestTerms) -> int | None:
        """Return the offset of a slot of ``size`` bytes, None if the request has to wait for it."""
        small = terms.is_small(rows)
        queue = self._queues[small]
        if not queue:
            return self._take(size, small)
        if self.around(rows, terms)[0] or (offset := self._take(size, small)) is None:
            return None
        queue.add(queue.entry(None, rows, weight(terms.bulk)))
        queue.ran(rows)
        queue.pop()
        return offset

    def around(
        self, rows: int, terms: RequestTerms
    ) -> tuple[list[WaitingRequest], list[WaitingRequest]]:
        """Return those that get their slots before a request for ``rows`` rows, and after it."""
        queue = self._queues[terms.is_small(rows)]
        return queue.around(queue.entry(None, rows, weight(terms.bulk)))

    def wait(self, size: int, rows: int, terms: RequestTerms, deadline: float) -> int:
        """Return the offset of a slot for ``rows`` rows, once there is one.

        Raises:
            DeadlineExceeded: there was none in time.
            ClientGone: the caller hung up, see ``hang_up``.
        """
        waiting = WaitingRequest(size, rows, deadline, terms.peer, self._loop.waiter())
        queue = self._queues[terms.is_small(rows)]
        queue.add(queue.entry(waiting, rows, weight(terms.bulk)))
        stop = self._loop.call_later(max(deadline - self._clock(), 0), waiting.waiter.wake, None)
        try:
            waiting.waiter.wait()
            if waiting.hung_up:
                raise ClientGone
            if waiting.offset is None:
                raise DeadlineExceeded(terms.timeout_s)
            return waiting.offset
        except BaseException:
            self._end(waiting)
            raise
        finally:
            stop()

    def hang_up(self, waiting: WaitingRequest) -> None:
        """Have a request wait no more: its caller is gone."""
        if waiting.offset is None:
            waiting.hung_up = True
            self._leave(waiting)
            self._loop.call_soon(waiting.waiter.wake, None)

    def give_back(self, offset: int) -> None:
        """Free a slot, for the requests that wait."""
        (self._small if offset < self._small.size else self._large).give_back(offset)
        self._serve()

    def _end(self, waiting: WaitingRequest) -> None:
        """End the waiting of a request that will not use its slot, should it have got one."""
        if waiting.offset is None:
            self._leave(waiting)
        else:
            self.give_back(waiting.offset)

    def _leave(self, waiting: WaitingRequest) -> None:
        """Take a request out of its queue: where it found no slot, those behind it may."""
        for queue in self._queues.values():
            queue.remove(waiting)
        self._serve()

    def _serve(self) -> None:
        """Give slots to the requests that wait, in their order, for as long as there are slots."""
        for small, queue in self._queues.items():
            while queue and (offset := self._take(queue.first().size, small)) is not None:
                waiting = queue.first()
                queue.ran(waiting.left)
                queue.pop()
                waiting.offset = offset
                self._loop.call_soon(waiting.waiter.wake, None)

    def _take(self, size: int, small: bool) -> int | None:
        offset = self._small.take(size) if small else None
        return self._large.take(size) if offset is None else offset


class SentRows:
    """The rows of the requests that have slots, of ``sent`` rows each, and are at the engines."""

    def __init__(self, sent: Iterable[int]) -> None:
        self._sizes = sorted(sent)
        self._sums = list(accumulate(self._sizes, initial=0))

    def share_before(self, rows: int) -> float:
        """Return the share of the sent rows that run before the first ``rows`` rows in line.

        Slots for these have to be freed, which the smallest requests do first. When they are, the
        engine goes on with larger requests later: of these, no more rows run than if all took
        turns.
        """
        if not self._sizes:
            return 1.0
        freed = self._sums[min(bisect_left(self._sums, rows), len(self._sizes))]
        smaller = bisect_left(self._sizes, rows)
        turns = self._sums[smaller] + (len(self._sizes) - smaller) * rows
        return max(freed, turns) / self._sums[-1]
