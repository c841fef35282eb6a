"""One replica, request by request: HTTP workers, and an engine with the server's own queue.

The queue is ``server.engine.batcher`` itself, and the largest batch that of
``server.engine.batch_limit``. What takes time is measured, see ``facts``. A request takes its HTTP
worker's thread for a while, waits in the queue, runs in a batch, and takes that thread again; all
threads share the pod's processors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from loadtests.simulate.facts import Facts
from loadtests.simulate.processors import Processors, Steps, Thread
from server.engine.batch_limit import BatchLimit, mixed_rows
from server.engine.batcher import Batch, Batcher, QueuedRequest
from server.errors import QueueFull
from server.queue_state import SMALL_ROWS

MAX_QUEUE_ROWS = 16384
"""The server's default of ``CARFRONT_MAX_QUEUE_ROWS``."""


DEADLINE_S = 30.0
"""The server's default of ``CARFRONT_REQUEST_TIMEOUT_MS``."""


class SimulatedRequest(QueuedRequest):
    """A request in the queue, and the event that its images are there, or never will be."""

    __slots__ = ("answered",)

    def __init__(self, rows: int, deadline: float, answered: simpy.Event) -> None:
        super().__init__(rows, deadline)
        self.answered = answered


@dataclass
class Answers:
    """What callers saw, and what the server's metrics would tell."""

    latencies_s: list[float] = field(default_factory=list)
    """The seconds of each answer with images."""
    queue_delays_s: list[float] = field(default_factory=list)
    """The seconds that each request waited for its first row to run."""
    refused: int = 0
    expired: int = 0
    batch_rows: list[int] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.latencies_s, self.queue_delays_s, self.batch_rows = [], [], []
        self.refused = self.expired = 0


class Replica:
    """A server in a pod, with callers on the same processors where ``facts`` say so."""

    def __init__(self, env: simpy.Environment, facts: Facts, seed: int = 0) -> None:
        self._env = env
        self._facts = facts
        self._random = np.random.default_rng(seed)
        self.processors = Processors(env, facts.processors)
        self.callers = Thread(env, self.processors)
        self._workers = [Thread(env, self.processors) for _ in range(facts.workers)]
        self._limit = BatchLimit(facts.largest_batch)
        rows = self._limit.rows
        self.batcher: Batcher[SimulatedRequest] = Batcher(
            rows, MAX_QUEUE_ROWS, lambda: env.now, mixed_batch_size=mixed_rows(rows)
        )
        self._running = 0
        """The number of batches that run."""
        self._came = env.event()
        """The event that a request came into the queue."""
        self.answers = Answers()
        for _ in range(facts.streams):
            env.process(self._stream())

    @property
    def server_cpu_s(self) -> float:
        """The seconds of processor time that the server has taken, without its callers'."""
        return self.processors.busy_s - self.callers.busy_s

    def ask(self) -> Steps:
        """Ask for one image, and note how long the answer took."""
        facts, began = self._facts, self._env.now
        worker = self._workers[self._random.integers(len(self._workers))]
        yield from self.callers.run(facts.caller_s / 2)
        yield from worker.run(facts.before_s)
        request = SimulatedRequest(1, began + DEADLINE_S, self._env.event())
        try:
            self.batcher.add(request)
        except QueueFull:
            self.answers.refused += 1
            return
        self._came.succeed()
        self._came = self._env.event()
        yield request.answered
        yield from worker.run(facts.after_s)
        yield from self.callers.run(facts.caller_s / 2)
        if request.gone:
            self.answers.expired += 1
        else:
            self.answers.latencies_s.append(self._env.now - began)
            self.answers.queue_delays_s.append(request.started - request.arrived)

    def _stream(self) -> Steps:
        """Run batches one after the other, as a thread of the engine does."""
        while True:
            while not self.batcher.rows:
                yield self._came
            batch = self.batcher.take()
            for request in batch.expired:
                request.answered.succeed()
            if batch.slices:
                yield from self._run(batch)

    def _run(self, batch: Batch[SimulatedRequest]) -> Steps:
        is_lone = not self._running and batch.rows <= SMALL_ROWS
        self._running += 1
        began = self._env.now
        yield simpy.AllOf(self._env, self._work(batch.rows, is_lone))
        seconds = self._env.now - began
        self.batcher.observe(batch.rows, seconds / self._running)
        self._limit.observe(batch.rows, seconds)
        self.batcher.resize(self._limit.rows, mixed_rows(self._limit.rows))
        self._running -= 1
        self.answers.batch_rows.append(batch.rows)
        for part in batch.slices:
            part.request.done += part.rows
            if part.request.done == part.request.rows and not part.request.gone:
                part.request.answered.succeed()

    def _work(self, rows: int, is_lone: bool) -> Sequence[simpy.Event]:
        """Return the work of a batch, one piece for each thread that runs it."""
        facts = self._facts
        if not is_lone:
            return [self.processors.run(facts.batch_s(rows))]
        return [self.processors.run(facts.lone_s(rows)) for _ in range(facts.lone_threads)]


def open_loop(env: simpy.Environment, replica: Replica, rate: float, seed: int = 1) -> Steps:
    """Have requests come at random, ``rate`` a second, whether answers come or not (Poisson)."""
    random = np.random.default_rng(seed)
    while True:
        yield env.timeout(random.exponential(1 / rate))
        env.process(replica.ask())


def closed_loop(replica: Replica) -> Steps:
    """Be one caller who asks again as soon as it is answered."""
    while True:
        yield from replica.ask()
