"""Which rows run next: the policy of the queue, and nothing else.

No sockets, no ONNX Runtime, and the clock is passed in. Work-conserving: ``take`` returns what is
there, as soon as it is asked; batches grow by themselves while the engine is busy. Where a batch
costs the same whatever its size, as on a GPU, ``due_in_s`` may ask for a moment's patience first.

Two lanes share every batch. Small requests (and the last rows of big ones) go in the express lane,
first come first served, and may fill a batch but for a quarter that the bulk lane keeps when it
has work. The bulk lane is deficit round robin with one batch as its quantum, a quarter of one for
requests that are said to be bulk; these take no other lane.
Source: Shreedhar and Varghese 1995, "Efficient Fair Queuing Using Deficit Round Robin".
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from server.errors import QueueFull

EXPRESS_ROWS = 8
"""A request with this many rows left, or fewer, takes the express lane."""
BULK_SHARE = 4
"""The bulk lane keeps one part in this many of a batch, and bulk requests take this part a turn."""
RATE_WEIGHT = 0.1
"""How much the newest batch counts in the drain rate."""


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
    credit: int = 0
    gone: bool = False
    """Nobody waits for it any more."""

    @property
    def left(self) -> int:
        """Rows that are still in the queue."""
        return self.rows - self.taken


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


class Batcher:
    """The queue of one engine.

    ``rows`` counts what is waiting; ``drain_rate`` is the rows per second of recent batches that
    were at least half full, None until the first.
    """

    def __init__(
        self,
        max_batch_size: int,
        max_queue_rows: int,
        clock: Callable[[], float],
        max_delay_s: float = 0.0,
    ) -> None:
        self.max_batch_size = max_batch_size
        self.max_delay_s = max_delay_s
        self.max_queue_rows = max_queue_rows
        self.clock = clock
        self.rows = 0
        self.drain_rate: float | None = None
        self._express: deque[Job] = deque()
        self._bulk: deque[Job] = deque()
        self._express_rows = 0
        self._since = 0.0
        """When the queue was empty last."""

    def add(self, job: Job) -> None:
        """Put ``job`` into the queue.

        Raises:
            QueueFull: the queue is at its limit, or would not get to the job before its deadline.
        """
        now = self.clock()
        over = self.rows + job.rows - self.max_queue_rows
        late = now + self.wait_s(self._ahead_of(job)) - job.deadline
        expired = job.deadline <= now  # take will say so
        if over > 0 or (late > 0 and not expired):
            raise QueueFull(
                self.rows,
                self.max_queue_rows,
                self.wait_s(self.rows),
                max(self.wait_s(max(over, 0)), late, 0.1),
            )
        if not self.rows:
            self._since = now
        job.arrived = now
        job.credit = self._quantum(job)
        self.rows += job.rows
        self._queue(job)

    def drop(self, job: Job) -> None:
        """Forget what is left of ``job``: nobody waits for it any more."""
        if not job.gone:
            job.gone = True
            self.rows -= job.left

    def due_in_s(self) -> float | None:
        """Return how long more rows may be waited for; 0 to take now, None when nothing waits."""
        if not self.rows:
            return None
        if self.rows >= self.max_batch_size:
            return 0.0
        return max(0.0, self._since + self.max_delay_s - self.clock())

    def take(self) -> Batch:
        """Return the rows to run next; an empty batch when nothing waits."""
        batch = Batch()
        size = self.max_batch_size
        keep = min(size // BULK_SHARE, sum(job.left for job in self._bulk)) if self._bulk else 0
        self._fill(batch, self._express, size - keep)
        self._fill(batch, self._bulk, size)
        self._fill(batch, self._express, size)
        return batch

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch of ``rows`` that took ``seconds``.

        Where a queue is, batches are full: what small ones reach would say it drains slowly.
        """
        if 2 * rows < self.max_batch_size:
            return
        rate = rows / max(seconds, 1e-6)
        old = self.drain_rate
        self.drain_rate = rate if old is None else old + RATE_WEIGHT * (rate - old)

    def wait_s(self, rows: int) -> float:
        """Return how long ``rows`` rows take to run, 0 while nothing was measured."""
        return rows / self.drain_rate if self.drain_rate else 0.0

    def _lane(self, job: Job) -> deque[Job]:
        return self._express if job.left <= EXPRESS_ROWS and not job.bulk else self._bulk

    def _queue(self, job: Job, first: bool = False) -> None:
        lane = self._lane(job)
        if lane is self._express:
            self._express_rows += job.left
        if first:
            lane.appendleft(job)
        else:
            lane.append(job)

    def _ahead_of(self, job: Job) -> int:
        """Return how many rows may leave before the first of ``job`` does."""
        if self._lane(job) is self._bulk:
            return self.rows
        if not self._bulk:
            return self._express_rows
        return self._express_rows * BULK_SHARE // (BULK_SHARE - 1)

    def _quantum(self, job: Job) -> int:
        share = BULK_SHARE if job.bulk else 1
        return max(1, self.max_batch_size // share)

    def _fill(self, batch: Batch, lane: deque[Job], limit: int) -> None:
        """Move rows from ``lane`` into ``batch`` until it has ``limit`` rows."""
        now = self.clock()
        while lane and batch.rows < limit:
            job = lane.popleft()
            if lane is self._express:
                self._express_rows -= job.left
            if job.gone:
                continue
            if job.deadline <= now:
                self.drop(job)
                batch.expired.append(job)
                continue
            self._move(batch, job, min(job.left, job.credit, limit - batch.rows), now)
            if job.left and job.credit:
                self._queue(job, first=True)  # the batch is full: it goes on in the next
            elif job.left:
                job.credit = self._quantum(job)  # its turn is over: to the end of the line
                self._queue(job)

    def _move(self, batch: Batch, job: Job, rows: int, now: float) -> None:
        if not job.taken:
            job.started = now
        batch.slices.append(Slice(job, job.taken, rows))
        batch.rows += rows
        self.rows -= rows
        job.taken += rows
        job.credit -= rows
