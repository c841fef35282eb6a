"""The policy of the queue: which rows run next, and which requests are refused.

The module knows no sockets and no ONNX Runtime, and the clock is passed in. The queue is
work-conserving: ``take`` returns the rows that wait as soon as it is called, and batches grow by
themselves while the engine is busy. Where a batch costs the same whatever its size, as on a GPU,
``due_in_s`` may delay it for a moment to let more rows come.

Two lanes share every batch. Small requests go in the express lane, first come first served, and may
fill a batch except for the quarter that is kept for the bulk lane when that has work. The bulk lane
is fair, see ``server.fair_order``. Requests marked as bulk always take the bulk lane. While small
requests come, the bulk lane may be limited to a smaller part of a batch, since a request for one
image waits for the batch that is running.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from server.admission import LEAST_MARGIN, MARGIN, in_time_in_s
from server.engine.drain_rate import DrainRate, Newcomers
from server.errors import QueueFull
from server.fair_order import Entry, FairOrder, weight
from server.queue_state import SMALL_ROWS, QueueState

BULK_SHARE = 4
"""The divisor of two shares: a quarter of a batch is kept for the bulk lane, and a quarter of the
limit of rows is open to requests that go ahead of larger ones, however many of those wait."""
COMING_S = 1.0
"""The seconds after a small request during which more of them are expected."""
RATE_WEIGHT = 0.1
"""The smallest weight of the newest batch in the capacity. The first batches have equal weights, as
the very first may be slow."""
FRESH_S = 10.0
"""The seconds for which a measured rate may keep a request from running: a machine that was slow
may be fast by now, and only a batch that runs can tell."""
BACKLOG = 4
"""The number of batches that have to wait for the drain rate to be measured. Callers on the same
processors leave a few rows waiting now and then; the rate at which a few rows drain says nothing of
the rate at which many would."""

MOST_DONE = 64
"""The number of finished requests, roughly, that the heap of deadlines may still hold."""


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """One request in the queue."""

    rows: int
    deadline: float
    """The deadline in seconds of the batcher's clock."""
    bulk: bool = False
    """Whether the request may wait behind others."""
    arrived: float = 0.0
    """The time at which the request entered the queue."""
    started: float = 0.0
    """The time at which the request's first rows left the queue."""
    taken: int = 0
    """The number of rows that left the queue."""
    done: int = 0
    """The number of rows that have run."""
    gone: bool = False
    """Whether nobody waits for the request any more."""

    @property
    def left(self) -> int:
        """Return how many rows are still in the queue."""
        return self.rows - self.taken

    @property
    def express(self) -> bool:
        """Return whether the request takes the express lane."""
        return self.rows <= SMALL_ROWS and not self.bulk


R = TypeVar("R", bound=QueuedRequest)


@dataclass(slots=True)
class Slice(Generic[R]):
    """The rows ``start`` to ``start + rows`` of one request."""

    request: R
    start: int
    rows: int


@dataclass(slots=True)
class Batch(Generic[R]):
    """Rows that run together, and the requests that expired before their rows could run."""

    slices: list[Slice[R]] = field(default_factory=list)
    rows: int = 0
    expired: list[R] = field(default_factory=list)


class Batcher(Generic[R]):
    """The queue of one model in one engine.

    ``rows`` is the number of rows that wait. ``capacity`` is the rows per second of recent batches
    that were at least half full, None until the first. While small requests come, big ones fill
    batches up to ``mixed_batch_size`` only.
    """

    def __init__(
        self,
        max_batch_size: int,
        max_queue_rows: int,
        clock: Callable[[], float],
        max_delay_s: float = 0.0,
        mixed_batch_size: int | None = None,
    ) -> None:
        self.max_batch_size = max_batch_size
        self.mixed_batch_size = mixed_batch_size or max_batch_size
        self.max_delay_s = max_delay_s
        self.max_queue_rows = max_queue_rows
        self.clock = clock
        self.rows = 0
        self.capacity: float | None = None
        self._measured = 0
        """The number of batches from which the capacity was measured."""
        self._measured_at = -math.inf
        self._express: deque[R] = deque()
        self._express_rows = 0
        self._bulk = FairOrder()
        self._small_until = -math.inf
        """The time until which more small requests are expected."""
        self._since = 0.0
        """The time at which the queue was empty last."""
        self._drained = DrainRate()
        self._newcomers = Newcomers()
        """The rate of the express lane."""
        self._last_rows = 0
        """The rows of the batch that was taken last."""
        self._kept = 0.0
        """The rows of the next batch that are kept for the bulk lane, with their fraction."""
        self._deadlines: list[tuple[float, int, R]] = []
        """The heap of the requests by deadline; some of them may be finished or gone."""
        self._numbers = itertools.count()

    def resize(self, max_batch_size: int, mixed_batch_size: int) -> None:
        """Form batches of at most ``max_batch_size`` rows from now on."""
        self.max_batch_size = max_batch_size
        self.mixed_batch_size = mixed_batch_size

    def add(self, request: R, accepted: bool = False) -> None:
        """Put ``request`` into the queue; a request that was ``accepted`` before is not refused.

        Raises:
            QueueFull: the queue is at its limit, or the request would be late, or it would make
                another request late.
        """
        now = self.clock()
        entry = None
        if not request.express:
            entry = self._bulk.entry(request, request.rows, weight(request.bulk))
        if not accepted:
            self._admit(request, entry, now)
        if not self.rows:
            self._since = now
        self._watch(request)
        request.arrived = now
        self.rows += request.rows
        if entry:
            self._bulk.add(entry)
        else:
            self._express_rows += request.rows
            self._express.append(request)
            self._small_until = now + COMING_S

    def _admit(self, request: R, entry: Entry | None, now: float) -> None:
        """Raise QueueFull if ``request`` cannot be served in time."""
        before, after = self._bulk.around(entry) if entry else ((), ())
        ahead = sum(other.left for other in before)
        again = self._in_time_in_s(request, ahead, after, now)
        over = self.rows + request.rows - self.max_queue_rows
        first = self._express_rows + ahead + request.rows
        full = over > 0 and first > self.max_queue_rows // BULK_SHARE
        expired = request.deadline <= now  # ``take`` ends such a request
        if full or (again > 0 and not expired):
            queue = QueueState(
                self.rows,
                self.max_queue_rows,
                self._drains_in_s(now) if self.rows else self.wait_s(request.rows),
                max(self.wait_s(over) if full else 0.0, again, 0.1),
            )
            raise QueueFull(queue)

    def drop(self, request: R) -> None:
        """Remove the rows of ``request`` from the queue: nobody waits for them any more."""
        if request.gone:
            return
        request.gone = True
        self.rows -= request.left
        if request.express:
            self._express_rows -= request.left
        else:
            self._bulk.remove(request)
        if not self.rows:
            self._drained.until(self.clock())  # the queue is empty from now on

    def due_in_s(self) -> float | None:
        """Return the seconds until a batch should be taken; None when nothing waits."""
        if not self.rows:
            return None
        if self.rows >= self.max_batch_size or not self.max_delay_s:
            return 0.0
        self._forget_done()
        latest = self._deadlines[0][0] - MARGIN * self.wait_s(self.rows)
        return max(0.0, min(self._since + self.max_delay_s, latest) - self.clock())

    def take(self) -> Batch[R]:
        """Return the rows to run next; an empty batch when nothing waits."""
        batch: Batch[R] = Batch()
        size, now = self.max_batch_size, self.clock()
        self._drained.until(now)
        self._expire(batch, now)
        express = self._express_rows
        kept = self._keep(size)
        self._take_express(batch, size - kept, now)
        mixed = max(self.mixed_batch_size, batch.rows + kept)
        self._take_bulk(batch, mixed if now < self._small_until else size, now)
        self._take_express(batch, size, now)
        self._newcomers.went(express - self._express_rows, now)
        self._last_rows = batch.rows
        if not self.rows:
            self._deadlines.clear()
        if self.rows >= BACKLOG * size:
            self._drained.left(batch.rows, now)
        return batch

    def observe(self, rows: int, seconds: float) -> None:
        """Learn the capacity from a batch of ``rows`` that took ``seconds``.

        Batches less than half full are ignored: while requests wait batches are full, and the lower
        rate of small ones would make the queue seem to drain slowly.
        """
        if 2 * rows < self.max_batch_size:
            return
        rate = rows / max(seconds, 1e-6)
        self._measured_at = self.clock()
        self._measured += 1
        old = self.capacity or 0.0
        self.capacity = old + max(RATE_WEIGHT, 1 / self._measured) * (rate - old)

    @property
    def drain_rate(self) -> float | None:
        """The rows per second that leave a long queue; the capacity when no queue was long lately.

        The drain rate is lower than the capacity where HTTP workers and callers share the
        processors with the engine.
        """
        if self.clock() - self._drained.measured_at < FRESH_S:
            return self._drained.rate
        return self.capacity

    def wait_s(self, rows: int) -> float:
        """Return the seconds that ``rows`` rows take to run, 0 while no rate was measured."""
        rate = self.drain_rate
        return rows / rate if rate else 0.0

    def state(self, rows: int) -> QueueState:
        """Return the queue's state for answers while ``rows`` rows wait or run."""
        wait_s = max(self._drains_in_s(self.clock()), self.wait_s(rows))
        return QueueState(rows, self.max_queue_rows, wait_s)

    def _drains_in_s(self, now: float) -> float:
        """Return the seconds until all rows that wait now have run."""
        bulk = self.rows - self._express_rows
        return self._bulk_wait_s(bulk, now) if bulk else self.wait_s(self.rows)

    def _bulk_wait_s(self, rows: int, now: float) -> float:
        """Return the seconds until the express lane and ``rows`` rows of the bulk lane have run.

        Small requests that are yet to come will go ahead. If they come as they did lately, the bulk
        lane has what they leave of the drain rate; it has a quarter in any case. Before that, the
        batch that runs now has to end.
        """
        rate = self.drain_rate
        if not rate:
            return 0.0
        least = rate / BULK_SHARE
        newcomers = self._newcomers.rate if now < self._small_until else 0.0
        left = max(least, rate - LEAST_MARGIN * newcomers)  # more may come than lately
        return min((self._express_rows + rows) / left, rows / least) + self._last_rows / rate

    def _in_time_in_s(self, request: R, ahead: int, after: Sequence[R], now: float) -> float:
        """Return the seconds until ``request`` would be in time, 0 or less if it would be now.

        In the bulk lane, ``ahead`` rows would run before the request, and the requests ``after``
        behind it, which it must not make late. With an empty queue a rate that was measured long
        ago refuses no request: the request runs, and the rate is measured anew.
        """
        time_left = request.deadline - now
        if not self.rows:
            if not self.capacity or now - self._measured_at >= FRESH_S:
                return 0.0
            if request.express or now >= self._small_until:
                return request.rows / self.capacity - time_left
        if request.express:
            express = self._express_rows
            if len(self._bulk):
                express = express * BULK_SHARE // (BULK_SHARE - 1)
            return self.wait_s(express) - time_left / MARGIN
        wait_s = partial(self._bulk_wait_s, now=now)
        return in_time_in_s(request.rows, request.deadline, ahead, after, wait_s, now)

    def _watch(self, request: R) -> None:
        """Put ``request`` into the heap of deadlines; at times, remove finished requests there."""
        if len(self._deadlines) > 2 * (len(self._express) + len(self._bulk)) + MOST_DONE:
            self._deadlines = [x for x in self._deadlines if x[2].left and not x[2].gone]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (request.deadline, next(self._numbers), request))

    def _expire(self, batch: Batch[R], now: float) -> None:
        """Drop the requests whose deadline has passed, anywhere in the queue."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, request = heapq.heappop(self._deadlines)
            if request.left and not request.gone:
                self.drop(request)
                batch.expired.append(request)

    def _forget_done(self) -> None:
        """Remove the requests that are finished or gone from the top of the heap of deadlines."""
        while self._deadlines and (self._deadlines[0][2].gone or not self._deadlines[0][2].left):
            heapq.heappop(self._deadlines)

    def _keep(self, size: int) -> int:
        """Return how many rows of a batch of ``size`` are kept for the bulk lane.

        It is a quarter of the batch, if so many bulk rows wait. Fractions are carried over: with
        batches of one or two rows, one row is kept every few batches.
        """
        self._kept = self._kept % 1 + size / BULK_SHARE
        return min(int(self._kept), self.rows - self._express_rows)

    def _take_express(self, batch: Batch[R], limit: int, now: float) -> None:
        """Move rows of the express lane into ``batch`` until it has ``limit`` rows."""
        while self._express and batch.rows < limit:
            request = self._express[0]
            if not request.gone and self._in_time(batch, request, now):
                self._move(batch, request, limit, now)
            if request.gone or not request.left:
                self._express.popleft()

    def _take_bulk(self, batch: Batch[R], limit: int, now: float) -> None:
        """Move rows of the bulk lane into ``batch`` until it has ``limit`` rows."""
        while len(self._bulk) and batch.rows < limit:
            request = self._bulk.first()
            if self._in_time(batch, request, now):
                self._bulk.ran(self._move(batch, request, limit, now))
                if not request.left:
                    self._bulk.pop()

    def _in_time(self, batch: Batch[R], request: R, now: float) -> bool:
        """Return whether ``request`` can be done by its deadline; drop it if it cannot."""
        known = request.taken or now - self._measured_at < FRESH_S
        needs = request.left / self.capacity if self.capacity and known else 0.0
        if request.deadline <= now + needs:
            self.drop(request)
            batch.expired.append(request)
        return not request.gone

    def _move(self, batch: Batch[R], request: R, limit: int, now: float) -> int:
        """Move the rows of ``request`` that fit into ``batch``, and return their number."""
        rows = min(request.left, limit - batch.rows)
        if not request.taken:
            request.started = now
        batch.slices.append(Slice(request, request.taken, rows))
        batch.rows += rows
        self.rows -= rows
        if request.express:
            self._express_rows -= rows
        request.taken += rows
        return rows
