"""The engine: receive requests, batch them, run them, scatter the images, answer.

A thread a stream; the threads take turns at gathering (leader and followers). The thread whose turn
it is reads the sockets and takes a batch, hands the turn on, runs its batch and answers. So the
next batch is gathered while others run, and nothing is handed from thread to thread.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple, Protocol

from server.engine import accepted_requests
from server.engine.accepted_requests import AcceptedRequests
from server.engine.batcher import Batch
from server.engine.models import Models, Run, ServedModel
from server.engine.run_batch import EngineRequest, run_batch
from server.engine.running_batches import RunningBatches
from server.engine.shutdown import DRAIN_S, Shutdown, parent_process
from server.engine.worker_connections import WorkerConnection, WorkerConnections
from server.ipc.messages import Ask, Changed, Told

log = logging.getLogger(__name__)

IDLE_S = 0.25
"""How often an idle engine refreshes its gauges and looks whether it should stop."""
TELL_S = 0.1
"""How often the gauges are refreshed while batches run."""
FAILURES = 8
"""After so many requests that fail, and none that does not, the engine is given up: a device that
is broken answers faster than those that work."""

Answer = Callable[[str], None]
"""Takes an error for an administrator, or an empty text: it is done."""


class Metrics(accepted_requests.Metrics, Protocol):
    """The metrics that the engine tells what it does, one thread at a time.

    ``server.observability.metrics.EngineMetrics`` has them.
    """

    def batch(self, rows: int, seconds: float) -> None: ...
    def queue(self, rows: int, capacity: float | None) -> None: ...


class Gathered(NamedTuple):
    """A batch that is to run next, the model that draws it, and how."""

    served: ServedModel
    batch: Batch[EngineRequest]
    run: Run


class Engine:
    """Serves all HTTP workers that connect at ``path``, one batch in flight for each stream.

    ``on_ask`` is called with what administrators want, from a stream's thread: it must not wait.
    The engine stops by itself when ``parent``, the process that watches it, does not any more; None
    is the parent that this process has now.
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
        self._look_at = 0.0
        """When to see whether the socket is still there."""
        self._tell_at = 0.0
        """When to refresh the gauges again."""
        self._capacity: float | None = None
        """The capacity of the model that ran last."""
        self._failures = 0
        """How many requests have failed since one did not."""
        self._turn = threading.Lock()
        """Held by the thread that gathers, while it waits too."""
        self._state = threading.Lock()
        """Held for every look at connections, requests and batchers, never while waiting or
        running."""

    def add(self, served: ServedModel) -> None:
        """Serve one more bundle, from now on."""
        with self._state:
            self._models.add(served)

    def remove(self, key: int) -> bool:
        """Serve a bundle no more, unless somebody still waits for its images; return which."""
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
        """Ask ``serve`` to end once all workers have hung up, at the latest in ``within_s``."""
        self._shutdown.stop(within_s)

    def oldest_s(self) -> float:
        """Return for how many seconds the oldest batch has been running; 0 while none is."""
        return self._running.oldest_s()

    def serve(self) -> None:
        """Serve until ``stop`` was called and everything accepted is answered.

        Raises:
            Exception: whatever a stream's loop raised; the engine is of no use any more.
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
        while (gathered := self._gather(stream)) is not None:
            self._serve(gathered, stream)

    # gathering

    def _gather(self, stream: int) -> Gathered | None:
        """Return the next batch as soon as there is one, None once the engine should end."""
        with self._turn:
            while True:
                due = self._models.due_in_s()
                keys = self._connections.wait(IDLE_S if due is None else min(due, IDLE_S))
                with self._state:
                    if self._finished():
                        return None
                    for key in keys:
                        self._connections.receive(key)
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
        run = served.run_for(stream, batch.rows, alone=not len(self._running))
        for part in batch.slices:
            part.request.begin()
        served.running += 1
        self._running.begin(stream, batch.rows)
        return Gathered(served, batch, run)

    def _tell_now_and_then(self) -> None:
        if self._clock() >= self._tell_at:
            self._tell_at = self._clock() + TELL_S
            self._metrics.queue(self._models.rows, self._capacity)

    def _ask(self, connection: WorkerConnection, ask: Ask) -> None:
        """Pass on what an administrator wants; the answer goes the same way, if it is there."""

        def answer(error: str) -> None:
            with self._state:
                if connection in self._connections.open:
                    self._connections.tell(connection, [Told(ask.ask_id, error)])

        if self._on_ask:
            self._on_ask(ask, answer)

    def _finished(self) -> bool:
        """Return whether the engine should end now."""
        if not self._shutdown.begun:
            self._look_after_the_socket()
            return False
        replaced = self._connections.replaced()
        if replaced:  # send the workers to the newer engine
            self._connections.hang_up_idle()
        return self._shutdown.is_over(len(self._connections.open), replaced)

    def _look_after_the_socket(self) -> None:
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + IDLE_S
            self._connections.listen_again()

    # running

    def _serve(self, gathered: Gathered, stream: int) -> None:
        """Run a batch and answer the requests that are done with it."""
        served, batch, run = gathered
        began = self._clock()
        failed = run_batch(batch.slices, served.latent_dim, run)
        seconds = self._clock() - began
        with self._state:
            if not failed:
                self._metrics.batch(batch.rows, seconds)
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
        """Raise RuntimeError when nothing works any more."""
        self._failures = self._failures + failed if failed == of else 0
        if self._failures >= FAILURES:
            raise RuntimeError(f"{self._failures} requests failed one after the other")
