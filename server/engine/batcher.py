"""Which rows run next: the policy of the queue, and nothing else.

No sockets, no ONNX Runtime, and the clock is passed in. Work-conserving: ``take`` returns what is
there, as soon as it is asked; batches grow by themselves while the engine is busy. Where a batch
costs the same whatever its size, as on a GPU, ``due_in_s`` may ask for a moment's patience first.

Two lanes share every batch. Small requests go in the express lane, first come first served, and may
fill a batch but for a quarter that the bulk lane keeps when it has work. The bulk lane is fair, see
``fair``; requests that are said to be bulk have a quarter of the others' share, and take no other.
While small requests come, the bulk lane may be told to fill less of a batch: who wants one image
waits for those that run already.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from server.engine.fair_order import Entry, FairOrder
from server.errors import QueueFull
from server.ipc.queue_state import SMALL_ROWS, QueueState

BULK_SHARE = 4
"""The bulk lane keeps one part in this many of a batch; bulk requests have so small a share."""
COMING_S = 1.0
"""For so long after a small request others are expected."""
MARGIN = 1.2
"""Times the expected wait for which a request must have time: a shared machine is slower now and
then, and who is refused at once can ask elsewhere. With 1.1, one accepted request in forty was late
under overload."""
RATE_WEIGHT = 0.1
"""How much the newest batch counts in the capacity, at least: of the first ones each counts alike,
as the very first may be slow."""
FRESH_S = 10.0
"""For how long after it was measured a rate keeps a request from running: a machine that was slow
for a while may be fast by now, and only what runs can tell."""
DRAINED_S = 1.0
"""How far back the drain rate looks."""
BACKLOG = 4
"""Batches that have to wait for the drain rate to be measured. Callers on the same processors leave
a few rows waiting now and then; how fast these drain says nothing of how fast many would."""

MOST_DONE = 64
"""Jobs that are done and still among those whose deadlines are looked at, about."""


@dataclass(eq=False, slots=True)
class Job:
    """One request in the queue; ``owner`` means something to the caller only."""

    rows: int
    deadline: float
    owner: Any = None
    bulk: bool = False
    """It may wait behind others."""
    arrived: float = 0.0
    started: float = 0.0
    """When its first rows left the queue."""
    taken: int = 0
    """Rows that left the queue."""
    done: int = 0
    """Rows that have run."""
    gone: bool = False
    """Nobody waits for it any more."""

    @property
    def left(self) -> int:
        """Rows that are still in the queue."""
        return self.rows - self.taken

    @property
    def express(self) -> bool:
        """Whether it takes the express lane."""
        return self.rows <= SMALL_ROWS and not self.bulk


@dataclass(slots=True)
class Slice:
    """The rows ``start`` to ``start + rows`` of one job."""

    job: Job
    start: int
    rows: int


@dataclass(slots=True)
class Batch:
    """Rows that run together, and the jobs whose deadline passed before they could."""

    slices: list[Slice] = field(default_factory=list)
    rows: int = 0
    expired: list[Job] = field(default_factory=list)


class Drained:
    """How fast a long queue drains, of the last second or so."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self.measured_at = -math.inf
        self._rows = 0.0
        self._seconds = 0.0
        self._pending: tuple[int, float] | None = None

    def left(self, rows: int, now: float) -> None:
        """Note that ``rows`` rows left the queue and others stayed."""
        self._pending = (rows, now)

    def until(self, now: float) -> None:
        """Note that the next rows leave: those before have taken so long."""
        if self._pending is None:
            return
        rows, began = self._pending
        self._pending = None
        fade = math.exp((began - now) / DRAINED_S)
        self._rows = fade * self._rows + rows
        self._seconds = fade * self._seconds + now - began
        if self._seconds > 0:
            self.rate = self._rows / self._seconds
            self.measured_at = now


class Batcher:
    """The queue of one engine.

    ``rows`` counts what is waiting; ``capacity`` is the rows per second of recent batches that were
    at least half full, None until the first. While small requests come, big ones fill batches up to
    ``mixed_batch_size`` only.
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
        """How often the capacity was measured."""
        self._measured_at = -math.inf
        self._express: deque[Job] = deque()
        self._express_rows = 0
        self._bulk = FairOrder()
        self._small_until = -math.inf
        """Until when small requests are expected."""
        self._since = 0.0
        """When the queue was empty last."""
        self._drained = Drained()
        self._kept = 0.0
        """Rows that the bulk lane may have of the next batch, whatever the express lane has."""
        self._deadlines: list[tuple[float, int, Job]] = []
        """A heap of the jobs by deadline; some that are done or gone may still be in it."""
        self._numbers = itertools.count()

    def add(self, job: Job, accepted: bool = False) -> None:
        """Put ``job`` into the queue; one that was ``accepted`` before is not refused.

        Raises:
            QueueFull: the queue is at its limit, or ``job`` would be late, or make another late.
        """
        now = self.clock()
        entry = None
        if not job.express:
            entry = self._bulk.entry(job, job.rows, 1 / BULK_SHARE if job.bulk else 1.0)
        if not accepted:
            self._admit(job, entry, now)
        if not self.rows:
            self._since = now
        self._watch(job)
        job.arrived = now
        self.rows += job.rows
        if entry:
            self._bulk.add(entry)
        else:
            self._express_rows += job.rows
            self._express.append(job)
            self._small_until = now + COMING_S

    def _admit(self, job: Job, entry: Entry | None, now: float) -> None:
        """Raise QueueFull if ``job`` cannot be served in time."""
        over = self.rows + job.rows - self.max_queue_rows
        late = self._late_s(job, entry, now)
        expired = job.deadline <= now  # take will say so
        if over > 0 or (late > 0 and not expired):
            queue = QueueState(
                self.rows,
                self.max_queue_rows,
                self.wait_s(self.rows or job.rows),
                max(self.wait_s(max(over, 0)), late, 0.1),
            )
            raise QueueFull(queue)

    def drop(self, job: Job) -> None:
        """Forget what is left of ``job``: nobody waits for it any more."""
        if job.gone:
            return
        job.gone = True
        self.rows -= job.left
        if job.express:
            self._express_rows -= job.left
        else:
            self._bulk.remove(job)
        if not self.rows:
            self._drained.until(self.clock())  # nobody waits from now on

    def due_in_s(self) -> float | None:
        """Return how long more rows may be waited for; 0 to take now, None when nothing waits."""
        if not self.rows:
            return None
        if self.rows >= self.max_batch_size or not self.max_delay_s:
            return 0.0
        self._forget_done()
        latest = self._deadlines[0][0] - MARGIN * self.wait_s(self.rows)
        return max(0.0, min(self._since + self.max_delay_s, latest) - self.clock())

    def take(self) -> Batch:
        """Return the rows to run next; an empty batch when nothing waits."""
        batch = Batch()
        size, now = self.max_batch_size, self.clock()
        self._drained.until(now)
        self._expire(batch, now)
        kept = self._keep(size)
        self._take_express(batch, size - kept, now)
        mixed = max(self.mixed_batch_size, batch.rows + kept)
        self._take_bulk(batch, mixed if now < self._small_until else size, now)
        self._take_express(batch, size, now)
        if not self.rows:
            self._deadlines.clear()
        if self.rows >= BACKLOG * size:
            self._drained.left(batch.rows, now)
        return batch

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch of ``rows`` that took ``seconds``.

        Where a queue is, batches are full: what small ones reach would say it drains slowly.
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
        """Rows per second that left while many others waited; where none did lately, the capacity.

        Less than the capacity: HTTP workers and callers may share the processors with the engine.
        """
        if self.clock() - self._drained.measured_at < FRESH_S:
            return self._drained.rate
        return self.capacity

    def wait_s(self, rows: int) -> float:
        """Return how long ``rows`` rows take to run, 0 while nothing was measured."""
        rate = self.drain_rate
        return rows / rate if rate else 0.0

    def _late_s(self, job: Job, entry: Entry | None, now: float) -> float:
        """Return by how much ``job`` would be late, or make another late that would not be.

        ``entry`` is its place in the bulk lane, None in the express lane. 0 or less if nobody would
        be. Where nothing waits, what was measured long ago keeps nobody out: the request runs, and
        the rate is measured anew.
        """
        ahead = self._express_rows
        if not self.rows:
            if not self.capacity or now - self._measured_at >= FRESH_S:
                return 0.0
            return now + job.rows / self.capacity - job.deadline
        if entry is None:
            if len(self._bulk):
                ahead = ahead * BULK_SHARE // (BULK_SHARE - 1)
            return now + MARGIN * self.wait_s(ahead) - job.deadline
        before, after = self._bulk.around(entry)
        ahead += sum(other.left for other in before) + job.rows
        late = now + MARGIN * self.wait_s(ahead) - job.deadline
        for other in after:
            ahead += other.left
            then = now + MARGIN * self.wait_s(ahead) - other.deadline
            if then > 0 >= then - MARGIN * self.wait_s(job.rows):
                late = max(late, then)
        return late

    def _watch(self, job: Job) -> None:
        """Have ``job`` expire when it is time; now and then, forget those that need not."""
        if len(self._deadlines) > 2 * (len(self._express) + len(self._bulk)) + MOST_DONE:
            self._deadlines = [x for x in self._deadlines if x[2].left and not x[2].gone]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (job.deadline, next(self._numbers), job))

    def _expire(self, batch: Batch, now: float) -> None:
        """Drop the jobs whose deadline has passed, wherever they are in the queue."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, job = heapq.heappop(self._deadlines)
            if job.left and not job.gone:
                self.drop(job)
                batch.expired.append(job)

    def _forget_done(self) -> None:
        """Take the jobs that are done or gone off the top of the deadlines."""
        while self._deadlines and (self._deadlines[0][2].gone or not self._deadlines[0][2].left):
            heapq.heappop(self._deadlines)

    def _keep(self, size: int) -> int:
        """Return how many rows of a batch of ``size`` the bulk lane may have before all others.

        A quarter, if it has so much to do; of one or two rows a quarter is one every now and then.
        """
        self._kept = self._kept % 1 + size / BULK_SHARE
        return min(int(self._kept), self.rows - self._express_rows)

    def _take_express(self, batch: Batch, limit: int, now: float) -> None:
        """Move rows of small requests into ``batch`` until it has ``limit`` rows."""
        while self._express and batch.rows < limit:
            job = self._express[0]
            if not job.gone and self._in_time(batch, job, now):
                self._move(batch, job, limit, now)
            if job.gone or not job.left:
                self._express.popleft()

    def _take_bulk(self, batch: Batch, limit: int, now: float) -> None:
        """Move rows of the others into ``batch`` until it has ``limit`` rows."""
        while len(self._bulk) and batch.rows < limit:
            job = self._bulk.first()
            if self._in_time(batch, job, now):
                self._bulk.ran(self._move(batch, job, limit, now))
                if not job.left:
                    self._bulk.pop()

    def _in_time(self, batch: Batch, job: Job, now: float) -> bool:
        """Drop ``job`` if its deadline has passed, or will before its last row can be done."""
        known = job.taken or now - self._measured_at < FRESH_S
        needs = job.left / self.capacity if self.capacity and known else 0.0
        if job.deadline <= now + needs:
            self.drop(job)
            batch.expired.append(job)
        return not job.gone

    def _move(self, batch: Batch, job: Job, limit: int, now: float) -> int:
        """Move as many rows of ``job`` as there are, or as fit, and return how many."""
        rows = min(job.left, limit - batch.rows)
        if not job.taken:
            job.started = now
        batch.slices.append(Slice(job, job.taken, rows))
        batch.rows += rows
        self.rows -= rows
        if job.express:
            self._express_rows -= rows
        job.taken += rows
        return rows
