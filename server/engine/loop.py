"""The engine's loop: receive requests, batch them, run them, scatter the images, answer.

A thread a stream; they take turns at gathering (leader and followers). The one whose turn it is
reads the sockets and takes a batch, hands the turn on, runs its batch and answers. So the next
batch is gathered while others run, and nothing is handed from thread to thread.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.engine import wire
from server.engine.batcher import Batch, Batcher, Job, Slice
from server.engine.links import Link, Links
from server.errors import QueueFull

log = logging.getLogger(__name__)

DRAIN_S = 25.0
"""How long a stopping engine serves on, while HTTP workers finish what they accepted."""
IDLE_S = 0.25
"""How often an idle engine refreshes its gauges and looks whether it should stop."""

NO_QUEUE = (0, 0, 0.0, 0.0)
"""What a result says of the queue where the queue did not matter."""

Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""


class Request:
    """A job's owner: whose it is, where its latents and images lie, and how it ends."""

    __slots__ = ("images", "infer_s", "latents", "link", "request_id", "verdict")

    def __init__(self, link: Link, arena: wire.Arena, submit: wire.Submit) -> None:
        self.link = link
        self.request_id = submit.request_id
        self.latents = arena.latents(submit.offset, submit.rows)
        self.images = arena.images(submit.offset, submit.rows)
        self.infer_s = 0.0
        self.verdict: wire.Status | None = None


class Metrics(Protocol):
    """Whom the engine tells what it does; ``server.metrics.EngineMetrics`` is one."""

    def batch(self, rows: int, seconds: float) -> None: ...
    def queue_delay(self, seconds: float) -> None: ...
    def dropped(self, reason: str, rows: int) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def queue(self, rows: int, capacity: float | None) -> None: ...


class Engine:
    """Serves all HTTP workers that connect at ``path``, one batch in flight for each stream."""

    def __init__(
        self,
        path: Path,
        streams: Sequence[Run],
        shape: wire.SlotShape,
        batcher: Batcher,
        metrics: Metrics,
    ) -> None:
        self._streams = streams
        self._shape = shape
        self._batcher = batcher
        self._metrics = metrics
        self._clock = batcher.clock
        self._links = Links(path, shape, self._submit, self._cancel, self._forget)
        self._parent = os.getppid()
        self._stop_at: float | None = None
        self._look_at = 0.0
        """When to see whether the socket is still there."""
        self._running = 0
        self._began: dict[int, float] = {}
        """When each thread's batch began, while one runs."""
        self._turn = threading.Lock()
        """Held by the thread that gathers, while it waits too."""
        self._state = threading.Lock()
        """Held for every look at links, jobs and batcher, never while waiting or running."""

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Ask ``serve`` to end once all workers have hung up, at the latest in ``within_s``."""
        self._stop_at = self._clock() + within_s

    def longest_s(self) -> float:
        """Return how long the oldest batch in flight has been running, 0 while none is."""
        now = self._clock()
        return max((now - began for began in list(self._began.values())), default=0.0)

    def serve(self) -> None:
        """Serve until ``stop`` was called and everything accepted is answered.

        Raises:
            Exception: whatever a stream's loop raised; the engine is of no use any more.
        """
        try:
            with ThreadPoolExecutor(len(self._streams), "stream") as threads:
                for loop in as_completed([threads.submit(self._loop, x) for x in self._streams]):
                    if error := loop.exception():
                        self.stop(0)
                        raise error
        finally:
            self._links.close()

    def _loop(self, run: Run) -> None:
        buffer = np.empty((self._batcher.max_batch_size, self._shape.latent_dim), np.float32)
        while (batch := self._gather()) is not None:
            self._serve(batch, run, buffer)

    # gathering

    def _gather(self) -> Batch | None:
        """Return the next batch as soon as there is one, None once the engine should end."""
        with self._turn:
            while True:
                due = self._batcher.due_in_s()
                keys = self._links.wait(IDLE_S if due is None else min(due, IDLE_S))
                with self._state:
                    if self._finished():
                        return None
                    for key in keys:
                        self._links.receive(key)
                    batch = Batch() if self._batcher.due_in_s() else self._take()
                    self._links.send()
                    if batch.slices:
                        self._running += 1
                        return batch

    def _take(self) -> Batch:
        batch = self._batcher.take()
        for job in batch.expired:
            self._metrics.dropped("deadline", job.rows)
            self._end(job, wire.Status.EXPIRED)
        self._metrics.queue(self._batcher.rows, self._batcher.capacity)
        return batch

    def _submit(self, link: Link, arena: wire.Arena, submit: wire.Submit) -> None:
        job = Job(submit.rows, submit.deadline, Request(link, arena, submit), submit.bulk)
        link.jobs[submit.request_id] = job
        try:
            self._batcher.add(job)
        except QueueFull as full:
            self._metrics.rejected("queue_full")
            self._answer(job, wire.Status.FULL, full)

    def _cancel(self, link: Link, cancel: wire.Cancel) -> None:
        """The caller is gone: its rows are dropped, those that run already run in vain."""
        job = link.jobs.get(cancel.request_id)
        if job is not None and not job.gone:
            self._metrics.dropped("client_gone", job.left)
            self._batcher.drop(job)
            self._end(job, wire.Status.CANCELLED)

    def _forget(self, link: Link) -> None:
        """The worker is gone: its rows are dropped, nobody else's are."""
        for job in link.jobs.values():
            self._metrics.dropped("worker_gone", job.left)
            self._batcher.drop(job)
        link.jobs.clear()

    def _finished(self) -> bool:
        if self._stop_at is None:
            if os.getppid() == self._parent:
                self._look_after_the_socket()
                return False
            log.warning("gunicorn's arbiter is gone; finishing what was accepted")
            self.stop()
        if self._links.replaced():  # send the workers to the newer engine
            for link in [link for link in self._links.open if not link.jobs]:
                self._links.hang_up(link)
        return not self._links.open or self._clock() >= (self._stop_at or 0)

    def _look_after_the_socket(self) -> None:
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + IDLE_S
            self._links.listen_again()

    # running

    def _serve(self, batch: Batch, run: Run, buffer: NDArray[np.float32]) -> None:
        """Run ``batch`` and answer the jobs that are done with it."""
        failed: list[Job] = []
        began = self._began[threading.get_ident()] = self._clock()
        try:
            _run_slices(batch.slices, run, buffer)
        except Exception:
            log.exception("a batch of %d rows failed; each request runs again alone", batch.rows)
            failed = [part.job for part in batch.slices if not _runs_alone(part, run, buffer)]
        seconds = self._clock() - began
        del self._began[threading.get_ident()]
        self._metrics.batch(batch.rows, seconds)
        with self._state:
            self._batcher.observe(batch.rows, seconds / self._running)
            self._running -= 1
            for part in batch.slices:
                part.job.done += part.rows
                part.job.owner.infer_s += seconds
            for job in failed:
                self._batcher.drop(job)
                self._end(job, wire.Status.FAILED)
            for part in batch.slices:
                if part.job.done == part.job.rows:
                    self._end(part.job, wire.Status.OK)
                elif part.job.owner.verdict is not None:
                    self._end(part.job, part.job.owner.verdict)
            self._links.send()

    # answering

    def _end(self, job: Job, verdict: wire.Status) -> None:
        """Answer ``job``, once no other stream runs rows of it: the slot is free after that."""
        request: Request = job.owner
        if request.verdict is None:
            request.verdict = verdict
        if job.done == job.taken:
            self._answer(job, request.verdict)

    def _answer(self, job: Job, status: wire.Status, full: QueueFull | None = None) -> None:
        request: Request = job.owner
        if request.link.jobs.pop(request.request_id, None) is not job:
            return  # answered already, or nobody is there any more
        queue_s = max(0.0, job.started - job.arrived)
        if status is wire.Status.OK:
            self._metrics.queue_delay(queue_s)
        queue = (full.rows, full.limit, full.wait_s, full.retry_after_s) if full else NO_QUEUE
        request.link.results.append(
            wire.Result(request.request_id, status, queue_s, request.infer_s, *queue)
        )


def _run_slices(slices: list[Slice], run: Run, buffer: NDArray[np.float32]) -> None:
    """Run ``slices`` as one batch and put each one's images where its worker reads them."""
    rows = 0
    for part in slices:
        latents = part.job.owner.latents[part.start : part.start + part.rows]
        buffer[rows : rows + part.rows] = latents
        rows += part.rows
    images = run(buffer[:rows])
    start = 0
    for part in slices:
        own = images[start : start + part.rows]
        part.job.owner.images[part.start : part.start + part.rows] = own
        start += part.rows


def _runs_alone(part: Slice, run: Run, buffer: NDArray[np.float32]) -> bool:
    try:
        _run_slices([part], run, buffer)
    except Exception:
        log.exception("request %d failed alone", part.job.owner.request_id)
        return False
    return True
