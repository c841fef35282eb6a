"""The engine's loop: receive requests, batch them, run them, scatter the images, answer.

A thread a stream; they take turns at gathering (leader and followers). The one whose turn it is
reads the sockets and takes a batch, hands the turn on, runs its batch and answers. So the next
batch is gathered while others run, and nothing is handed from thread to thread.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

from server.engine.batcher import Batch, Batcher, Job
from server.engine.models import Models, Run, ServedModel
from server.engine.run_batch import Request, draw
from server.engine.worker_connections import WorkerConnection, WorkerConnections
from server.errors import QueueFull
from server.ipc.arena import Arena
from server.ipc.messages import Ask, Cancel, Changed, Result, Status, Submit, Told
from server.ipc.queue_state import QueueState

log = logging.getLogger(__name__)

DRAIN_S = 29.0
"""How long a stopping engine serves on, while HTTP workers finish what they accepted: a second less
than gunicorn leaves it, see ``gunicorn.conf.py``."""
CONNECT_S = 1.0
"""How long after it began to listen a stopping engine without HTTP workers waits for them: each
tries every 50 ms."""
IDLE_S = 0.25
"""How often an idle engine refreshes its gauges and looks whether it should stop."""

TELL_S = 0.1
"""How often the gauges are refreshed while batches run."""
FAILURES = 8
"""After so many requests that fail, and none that does not, the engine is given up: a device that
is broken answers faster than those that work."""

Answer = Callable[[str], None]
"""Takes an error for an administrator, or an empty text: it is done."""


class Metrics(Protocol):
    """Whom the engine tells what it does, one thread at a time.

    ``server.observability.metrics.EngineMetrics`` is one.
    """

    def batch(self, rows: int, seconds: float) -> None: ...
    def queue_delay(self, seconds: float) -> None: ...
    def dropped(self, reason: str, rows: int) -> None: ...
    def queue(self, rows: int, capacity: float | None) -> None: ...


class Engine:
    """Serves all HTTP workers that connect at ``path``, one batch in flight for each stream.

    ``on_ask`` is called with what administrators want, from a stream's thread: it must not wait.
    It stops by itself when ``parent``, the process that watches it, does not any more; None is the
    one that this process has now.
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
        self.streams: set[int] = set()
        """Linux's ids of the threads that run batches."""
        self._models = Models()
        self._metrics = metrics
        self._clock = clock
        self._on_ask = on_ask
        self._connections = WorkerConnections(
            path, self._submit, self._cancel, self._ask, self._forget
        )
        self._parent = os.getppid() if parent is None else parent
        self._connect_by = clock() + CONNECT_S
        self._stop_at: float | None = None
        self._look_at = 0.0
        """When to see whether the socket is still there."""
        self._tell_at = 0.0
        """When to refresh the gauges again."""
        self._running = 0
        self._running_rows = 0
        self._load = QueueState()
        """What answers say of the queue."""
        self._capacity: float | None = None
        """Of the model that ran last."""
        self._failures = 0
        """Requests that failed since one did not."""
        self._began: dict[int, float] = {}
        """When each stream's batch began, while one runs."""
        self._turn = threading.Lock()
        """Held by the thread that gathers, while it waits too."""
        self._state = threading.Lock()
        """Held for every look at links, jobs and batchers, never while waiting or running."""

    def add(self, served: ServedModel) -> None:
        """Serve one more bundle, from now on."""
        with self._state:
            self._models.add(served)

    def remove(self, key: int) -> bool:
        """Serve a bundle no more, unless somebody still waits for its images; say which."""
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
        self._stop_at = self._clock() + within_s

    def oldest(self) -> tuple[float, int]:
        """Return for how long the oldest batch has been running, 0 while none is, and in which.

        The thread that runs it is one of ``streams``.
        """
        now = self._clock()
        running = [(now - began, stream) for stream, began in list(self._began.items())]
        return max(running, default=(0.0, 0))

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
        self.streams.add(threading.get_native_id())
        while (taken := self._gather()) is not None:
            served, batch = taken
            self._serve(served, batch, served.runs[stream])

    # gathering

    def _gather(self) -> tuple[ServedModel, Batch] | None:
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
                    taken = self._take()
                    self._connections.send()
                    if taken:
                        return taken

    def _take(self) -> tuple[ServedModel, Batch] | None:
        """Return the next batch, if one is due and not all of it has expired."""
        taken = self._models.take()
        if taken is None:
            self._metrics.queue(self._models.rows, self._capacity)
            return None
        served, batch = taken
        self._capacity = served.batcher.capacity or self._capacity
        for job in batch.expired:
            self._metrics.dropped("deadline", job.left)
            self._end(job, Status.EXPIRED)
        if self._clock() >= self._tell_at:
            self._tell_at = self._clock() + TELL_S
            self._metrics.queue(self._models.rows, self._capacity)
        if not batch.slices:
            return None
        for part in batch.slices:
            part.job.owner.begin()
        served.running += 1
        self._running += 1
        self._running_rows += batch.rows
        return served, batch

    def _measure_load(self, batcher: Batcher) -> QueueState:
        """Return what an answer says of the queue: by it the HTTP workers choose an engine."""
        rows = self._models.rows + self._running_rows
        return QueueState(rows, batcher.max_queue_rows, batcher.wait_s(rows))

    def _submit(self, connection: WorkerConnection, arena: Arena, submit: Submit) -> None:
        served = self._models.get(submit.model)
        if served is None:
            connection.results.append(Result(submit.request_id, Status.STALE, 0.0, 0.0, self._load))
            return
        request = Request(connection, arena, submit, served)
        job = Job(submit.rows, submit.deadline, request, submit.bulk)
        connection.jobs[submit.request_id] = job
        try:
            served.batcher.add(job, submit.accepted)
        except QueueFull as full:
            self._answer(job, Status.FULL, full)

    def _ask(self, connection: WorkerConnection, ask: Ask) -> None:
        """Pass on what an administrator wants; the answer goes the same way, if it is there."""

        def answer(error: str) -> None:
            with self._state:
                if connection in self._connections.open:
                    self._connections.tell(connection, [Told(ask.ask_id, error)])

        if self._on_ask:
            self._on_ask(ask, answer)

    def _cancel(self, connection: WorkerConnection, cancel: Cancel) -> None:
        """Nobody waits any more: its rows are dropped, those that run already run in vain."""
        job = connection.jobs.get(cancel.request_id)
        if job is not None and not job.gone:
            late = job.deadline <= self._clock()
            self._metrics.dropped("deadline" if late else "client_gone", job.left)
            job.owner.served.batcher.drop(job)
            self._end(job, Status.CANCELLED)

    def _forget(self, connection: WorkerConnection) -> None:
        """The worker is gone: its rows are dropped, nobody else's are."""
        for job in connection.jobs.values():
            if not job.gone:
                self._metrics.dropped("worker_gone", job.left)
                job.owner.served.batcher.drop(job)
        connection.jobs.clear()

    def _finished(self) -> bool:
        if self._stop_at is None:
            if os.getppid() == self._parent:
                self._look_after_the_socket()
                return False
            log.warning("gunicorn's arbiter is gone; finishing what was accepted")
            self.stop()
        replaced = self._connections.replaced()
        if replaced:  # send the workers to the newer engine
            for connection in [
                connection for connection in self._connections.open if not connection.jobs
            ]:
                self._connections.hang_up(connection)
        now = self._clock()
        if not self._connections.open and (replaced or now >= self._connect_by):
            return True
        return now >= (self._stop_at or 0)

    def _look_after_the_socket(self) -> None:
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + IDLE_S
            self._connections.listen_again()

    # running

    def _serve(self, served: ServedModel, batch: Batch, run: Run) -> None:
        """Run ``batch`` and answer the jobs that are done with it."""
        thread = threading.get_native_id()
        began = self._began[thread] = self._clock()
        failed = draw(batch.slices, served.latent_dim, run)
        seconds = self._clock() - began
        del self._began[thread]
        with self._state:
            if not failed:
                self._metrics.batch(batch.rows, seconds)
                served.batcher.observe(batch.rows, seconds / self._running)
            self._running -= 1
            self._running_rows -= batch.rows
            served.running -= 1
            self._load = self._measure_load(served.batcher)
            for part in batch.slices:
                part.job.done += part.rows
                part.job.owner.infer_s += seconds
                part.job.owner.ran(part.job.done < part.job.taken)
            for job in failed:
                served.batcher.drop(job)
                self._end(job, Status.FAILED)
            for part in batch.slices:
                if part.job.done == part.job.rows:
                    self._end(part.job, Status.OK)
                elif part.job.owner.verdict is not None:
                    self._end(part.job, part.job.owner.verdict)
            self._connections.send()
            self._count_failures(len(failed), len(batch.slices))

    def _count_failures(self, failed: int, of: int) -> None:
        """Raise RuntimeError when nothing works any more."""
        self._failures = self._failures + failed if failed == of else 0
        if self._failures >= FAILURES:
            raise RuntimeError(f"{self._failures} requests failed one after the other")

    # answering

    def _end(self, job: Job, verdict: Status) -> None:
        """Answer ``job``, once no other stream runs rows of it: the slot is free after that."""
        request: Request = job.owner
        if request.verdict is None:
            request.verdict = verdict
        if job.done == job.taken:
            self._answer(job, request.verdict)

    def _answer(self, job: Job, status: Status, full: QueueFull | None = None) -> None:
        request: Request = job.owner
        if request.connection.jobs.pop(request.request_id, None) is not job:
            return  # answered already, or nobody is there any more
        queue_s = max(0.0, job.started - job.arrived)
        if status is Status.OK:
            self._metrics.queue_delay(queue_s)
        queue = full.queue if full else self._load
        request.connection.results.append(
            Result(request.request_id, status, queue_s, request.infer_s, queue)
        )
