"""The engine: receive requests, batch them, run them, scatter the images, answer.

Each stream is a thread, and the threads take turns at gathering (leader and followers). The thread
whose turn it is reads the sockets and takes a batch, passes the turn on, runs its batch and
answers. So the next batch is gathered while others run, and no batch passes between threads.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple, Protocol

from server.cpus import WakeUps
from server.engine import accepted_requests
from server.engine.accepted_requests import AcceptedRequests
from server.engine.batcher import Batch
from server.engine.models import Models, Run, ServedModel
from server.engine.run_batch import EngineRequest, run_batch
from server.engine.running_batches import RunningBatches
from server.engine.shutdown import DRAIN_S, Shutdown, parent_process
from server.engine.worker_connections import WorkerConnection, WorkerConnections
from server.ipc.messages import Ask, Changed, Told
from server.queue_state import SMALL_ROWS

log = logging.getLogger(__name__)

IDLE_S = 0.25
"""The seconds between two times at which an idle engine refreshes its gauges and checks whether it
should stop."""
TELL_S = 0.1
"""The seconds between two refreshes of the gauges while batches run."""
FAILURES = 8
"""The number of failed requests in a row at which the engine ends: a broken device answers faster
than one that works, and would attract requests."""

Answer = Callable[[str], None]
"""The function that answers an administrator: it takes the error, an empty text for none."""


class Metrics(accepted_requests.Metrics, Protocol):
    """The metrics of the engine, which one thread at a time calls.

    ``server.observability.engine_metrics.EngineMetrics`` implements them.
    """

    def batch(self, rows: int, seconds: float, key: int) -> None: ...
    def queue(self, rows: int, capacity: float | None) -> None: ...


class Gathered(NamedTuple):
    """A batch that is to run next, the model that draws it, and the function that runs it."""

    served: ServedModel
    batch: Batch[EngineRequest]
    run: Run
    is_lone: bool
    """Whether the batch is small and no other runs."""


class Engine:
    """Serves all HTTP workers that connect at ``path``, one batch in flight for each stream.

    ``on_ask`` is called with administrators' requests, from a stream's thread: it must not block.
    The engine stops by itself when ``parent``, the process that watches it, is its parent no more;
    None is the parent that this process has now.
    """

    def __init__(
        self,
        path: Path,
        streams: int,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        on_ask: Callable[[Ask, Answer], None] | None = None,
        parent: int | None = None,
    ) -> None:
        self._stream_count = streams
        self._models = Models()
        self._metrics = metrics
        self._clock = clock
        self._on_ask = on_ask
        self._requests = AcceptedRequests(self._models, metrics, clock)
        self._connections = WorkerConnections(
            path, self._requests.submit, self._requests.cancel, self._ask, self._requests.forget
        )
        self._shutdown = Shutdown(clock, parent, parent_process)
        self._running = RunningBatches(clock)
        self._tell_at = 0.0
        """The time at which to refresh the gauges again."""
        self._capacity: float | None = None
        """The capacity of the model that ran last."""
        self._failures = 0
        """The number of requests that have failed since one succeeded."""
        self._turn = threading.Lock()
        """The lock of the thread that gathers, which it also holds while it waits."""
        self._state = threading.Lock()
        """The lock of connections, requests and batchers; no thread holds it while it waits or
        runs a batch."""

    def add(self, served: ServedModel) -> None:
        """Start to serve a bundle."""
        with self._state:
            self._models.add(served)

    def remove(self, key: int) -> bool:
        """Stop serving a bundle unless a request waits for it; return whether it is removed."""
        with self._state:
            served = self._models.get(key)
            if served is not None and not served.idle:
                return False
            self._models.remove(key)
            return True

    def announce(self) -> None:
        """Tell the HTTP workers that the catalog has changed."""
        with self._state:
            for connection in list(self._connections.open):
                self._connections.tell(connection, [Changed()])

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Have ``serve`` end once all workers have hung up, at the latest in ``within_s``."""
        self._shutdown.stop(within_s)

    def oldest_s(self) -> float:
        """Return the seconds for which the oldest batch has been running; 0 while none is."""
        return self._running.oldest_s()

    def serve(self) -> None:
        """Serve until ``stop`` was called and everything accepted is answered.

        Raises:
            Exception: a stream's loop raised it; the engine is of no use any more.
        """
        try:
            with ThreadPoolExecutor(self._stream_count, "stream") as threads:
                loops = [threads.submit(self._loop, k) for k in range(self._stream_count)]
                for loop in as_completed(loops):
                    if error := loop.exception():
                        self.stop(0)
                        raise error
        finally:
            self._connections.close()

    def _loop(self, stream: int) -> None:
        wake_ups = WakeUps()
        while (gathered := self._gather(stream)) is not None:
            wake_ups.be_patient(not gathered.is_lone)
            self._serve(gathered, stream)

    # gathering

    def _gather(self, stream: int) -> Gathered | None:
        """Return the next batch as soon as there is one, None once the engine should end."""
        with self._turn:
            while True:
                due = self._models.due_in_s()
                keys = self._connections.wait(IDLE_S if due is None else min(due, IDLE_S))
                with self._state:
                    for key in keys:
                        self._connections.receive(key)
                    if self._finished():
                        return None
                    gathered = self._take(stream)
                    self._connections.send()
                    if gathered:
                        return gathered

    def _take(self, stream: int) -> Gathered | None:
        """Return the next batch, if one is due and not all of it has expired."""
        taken = self._models.take()
        if taken is None:
            self._metrics.queue(self._models.rows, self._capacity)
            return None
        served, batch = taken
        self._capacity = served.batcher.capacity or self._capacity
        for request in batch.expired:
            self._requests.expire(request)
        self._tell_now_and_then()
        if not batch.slices:
            return None
        is_lone = not len(self._running) and batch.rows <= SMALL_ROWS
        for part in batch.slices:
            part.request.begin()
        served.running += 1
        self._running.begin(stream, batch.rows)
        return Gathered(served, batch, served.run_for(stream, is_lone), is_lone)

    def _tell_now_and_then(self) -> None:
        if self._clock() >= self._tell_at:
            self._tell_at = self._clock() + TELL_S
            self._metrics.queue(self._models.rows, self._capacity)

    def _ask(self, connection: WorkerConnection, ask: Ask) -> None:
        """Pass an administrator's request on; its answer goes to ``connection`` if still open."""

        def answer(error: str) -> None:
            with self._state:
                if connection in self._connections.open:
                    self._connections.tell(connection, [Told(ask.ask_id, error)])

        if self._on_ask:
            self._on_ask(ask, answer)

    def _finished(self) -> bool:
        """Return whether the engine should end now."""
        if not self._shutdown.begun:
            self._connections.keep_socket(self._clock())
            return False
        replaced = self._connections.replaced()
        if replaced:  # send the workers to the newer engine
            self._connections.hang_up_idle()
        return self._shutdown.is_over(len(self._connections.open), replaced)

    # running

    def _serve(self, gathered: Gathered, stream: int) -> None:
        """Run a batch and answer the requests that are done with it."""
        served, batch, run, _ = gathered
        began = self._clock()
        failed = run_batch(batch.slices, served, run)
        seconds = self._clock() - began
        with self._state:
            if not failed:
                self._metrics.batch(batch.rows, seconds, served.key)
                served.observe(batch.rows, seconds, beside=len(self._running))
            self._running.end(stream)
            served.running -= 1
            rows = self._models.rows + self._running.rows
            self._requests.queue_state = served.batcher.state(rows)
            for part in batch.slices:
                part.request.ran(part.rows, seconds)
            for request in failed:
                self._requests.fail(request)
            for part in batch.slices:
                self._requests.end_if_done(part.request)
            self._connections.send()
            self._count_failures(len(failed), len(batch.slices))

    def _count_failures(self, failed: int, of: int) -> None:
        """Count the requests that failed in a row; raise RuntimeError after ``FAILURES``."""
        self._failures = self._failures + failed if failed == of else 0
        if self._failures >= FAILURES:
            raise RuntimeError(f"{self._failures} requests failed one after the other")
