"""The engine process: receives requests, batches them, runs them, scatters the images.

A thread a stream; they take turns at gathering (leader and followers). The one whose turn it is
reads the sockets and takes a batch, hands the turn on, runs its batch and answers. So the next
batch is gathered while others run, and nothing is handed from thread to thread.

gunicorn starts the process as a dirty app, watches it, and replaces it when it dies; the HTTP
workers reconnect and send again what was unanswered.
"""

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

import numpy as np
from gunicorn.dirty import DirtyApp
from numpy.typing import NDArray

from server.bundle import find_bundle, load_bundle
from server.config import ServerConfig
from server.engine import wire
from server.engine.batcher import Batch, Batcher, Job, Slice
from server.engine.session import SessionError, choose_plans, give_back_memory, open_session
from server.errors import QueueFull

log = logging.getLogger(__name__)

DRAIN_S = 25.0
"""How long a stopping engine serves on, while HTTP workers finish what they accepted."""
IDLE_S = 0.25
"""How often an idle engine refreshes its gauges and looks whether it should stop."""


class Link:
    """One HTTP worker at the other end: its socket, its arena, and what it waits for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.arena: wire.Arena | None = None
        self.jobs: dict[int, Job] = {}
        self.results: list[wire.Result] = []

    def close(self) -> None:
        """Hang up and let go of the arena."""
        self.sock.close()
        if self.arena:
            self.arena.close()


class Request:
    """Whom a job belongs to and where its latents and images lie."""

    __slots__ = ("images", "infer_s", "latents", "link", "request_id")

    def __init__(self, link: Link, arena: wire.Arena, submit: wire.Submit) -> None:
        self.link = link
        self.request_id = submit.request_id
        self.latents = arena.latents(submit.offset, submit.rows)
        self.images = arena.images(submit.offset, submit.rows)
        self.infer_s = 0.0


class Metrics(Protocol):
    """Whom the engine tells what it does; ``server.metrics.EngineMetrics`` is one."""

    def batch(self, rows: int, seconds: float) -> None: ...
    def queue_delay(self, seconds: float) -> None: ...
    def dropped(self, reason: str, rows: int) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def queue(self, rows: int, drain_rate: float | None) -> None: ...


Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""


class Engine:
    """Serves the links of all HTTP workers, one batch in flight for each of ``streams``."""

    def __init__(
        self,
        path: Path,
        streams: Sequence[Run],
        shape: wire.SlotShape,
        batcher: Batcher,
        metrics: Metrics,
    ) -> None:
        self.path = path
        self._streams = streams
        self._shape = shape
        self._batcher = batcher
        self._metrics = metrics
        self._clock = batcher.clock
        self._links: set[Link] = set()
        self._listener = wire.listen(path)
        self._inode = path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._parent = os.getppid()
        self._stop_at: float | None = None
        self._turn = threading.Lock()
        """Held by the thread that gathers, while it waits too."""
        self._state = threading.Lock()
        """Held for every look at links, jobs and batcher, never while waiting or running."""
        self._running = 0

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Ask ``serve`` to end once all workers have hung up, at the latest in ``within_s``."""
        self._stop_at = self._clock() + within_s

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
            self._close()

    def _loop(self, run: Run) -> None:
        buffer = np.empty((self._batcher.max_batch_size, self._shape.latent_dim), np.float32)
        while (batch := self._gather()) is not None:
            self._serve(batch, run, buffer)

    def _gather(self) -> Batch | None:
        """Return the next batch as soon as there is one, None once the engine should end."""
        with self._turn:
            while True:
                events = self._selector.select(0 if self._batcher.rows else IDLE_S)
                with self._state:
                    if self._finished():
                        return None
                    for key, _ in events:
                        self._receive(key)
                    batch = self._batcher.take()
                    for job in batch.expired:
                        self._metrics.dropped("deadline", job.rows)
                        self._answer(job, wire.Status.EXPIRED)
                    self._metrics.queue(self._batcher.rows, self._batcher.drain_rate)
                    self._send_results()
                    if batch.slices:
                        self._running += 1
                        return batch

    # receiving

    def _receive(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif key.data in self._links:
            self._read(key.data)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # it hung up already, or no descriptor is left
            log.warning("an HTTP worker could not connect: %s", error)
            return
        sock.setblocking(False)
        link = Link(sock)
        self._links.add(link)
        self._selector.register(sock, selectors.EVENT_READ, link)

    def _read(self, link: Link) -> None:
        try:
            if link.arena is None:
                link.arena = wire.receive_hello(link.sock, self._shape)
                if link.arena is None:
                    self._hang_up(link)
                return
            while packet := link.sock.recv(wire.MAX_PACKET):
                for submit in wire.unpack_submits(packet):
                    self._submit(link, link.arena, submit)
            self._hang_up(link)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(link)

    def _submit(self, link: Link, arena: wire.Arena, submit: wire.Submit) -> None:
        job = Job(submit.rows, submit.deadline, Request(link, arena, submit))
        link.jobs[submit.request_id] = job
        try:
            self._batcher.add(job)
        except QueueFull as full:
            self._metrics.rejected("queue_full")
            self._answer(job, wire.Status.FULL, full)

    def _hang_up(self, link: Link) -> None:
        """The worker is gone: its rows are dropped, nobody else's are."""
        for job in link.jobs.values():
            self._metrics.dropped("worker_gone", job.left)
            self._batcher.drop(job)
        link.jobs.clear()
        self._selector.unregister(link.sock)
        self._links.discard(link)
        link.close()

    # running

    def _serve(self, batch: Batch, run: Run, buffer: NDArray[np.float32]) -> None:
        failed: list[Job] = []
        try:
            self._run_slices(batch.slices, run, buffer)
        except Exception:
            log.exception("a batch of %d rows failed; each request runs again alone", batch.rows)
            failed = [part.job for part in batch.slices if not self._retry(part, run, buffer)]
        with self._state:
            self._running -= 1
            for job in failed:
                self._batcher.drop(job)
                self._answer(job, wire.Status.FAILED)
            for part in batch.slices:
                part.job.done += part.rows
                if part.job.done == part.job.rows and not part.job.gone:
                    self._answer(part.job, wire.Status.OK)
            self._send_results()

    def _run_slices(self, slices: list[Slice], run: Run, buffer: NDArray[np.float32]) -> None:
        """Run ``slices`` as one batch and put each one's images where its worker reads them."""
        rows = 0
        for part in slices:
            own = part.job.owner.latents[part.start : part.start + part.rows]
            buffer[rows : rows + part.rows] = own
            rows += part.rows
        began = self._clock()
        images = run(buffer[:rows])
        seconds = self._clock() - began
        start = 0
        for part in slices:
            if not part.job.gone:
                own = part.job.owner.images[part.start : part.start + part.rows]
                own[:] = images[start : start + part.rows]
            part.job.owner.infer_s += seconds
            start += part.rows
        self._batcher.observe(rows, seconds / max(self._running, 1))
        self._metrics.batch(rows, seconds)

    def _retry(self, part: Slice, run: Run, buffer: NDArray[np.float32]) -> bool:
        try:
            self._run_slices([part], run, buffer)
        except Exception:
            log.exception("request %d failed alone", part.job.owner.request_id)
            return False
        return True

    # answering

    def _answer(self, job: Job, status: wire.Status, full: QueueFull | None = None) -> None:
        request: Request = job.owner
        if request.link.jobs.pop(request.request_id, None) is not job:
            return
        queue_s = max(0.0, (job.started or self._clock()) - job.arrived) if job.arrived else 0.0
        if status is wire.Status.OK:
            self._metrics.queue_delay(queue_s)
        request.link.results.append(
            wire.Result(
                request.request_id,
                status,
                queue_s,
                request.infer_s,
                full.rows if full else 0,
                full.limit if full else 0,
                full.retry_after_s if full else 0.0,
            )
        )

    def _send_results(self) -> None:
        for link in [link for link in self._links if link.results]:
            try:
                packets = list(wire.pack_results(link.results))
                link.results.clear()
                for packet in packets:
                    link.sock.send(packet)
            except OSError as error:  # gone, or it has not read for thousands of answers
                log.warning("an HTTP worker does not take its answers: %s", error)
                self._hang_up(link)

    # ending

    def _finished(self) -> bool:
        if self._stop_at is None:
            if os.getppid() == self._parent:
                return False
            log.warning("gunicorn's arbiter is gone; finishing what was accepted")
            self.stop()
        if self._replaced():  # a newer engine listens: send the workers there
            for link in [link for link in self._links if not link.jobs]:
                self._hang_up(link)
        return not self._links or self._clock() >= (self._stop_at or 0)

    def _replaced(self) -> bool:
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        self._selector.close()
        self._listener.close()
        if not self._replaced():
            self.path.unlink(missing_ok=True)
        for link in self._links:
            link.close()


class EngineApp(DirtyApp):  # type: ignore[misc]
    """What gunicorn starts: loads the bundle, proves it on this host, and serves it.

    All of it happens in a thread of its own: gunicorn's thread has to hear signals from the start.
    """

    def init(self) -> None:
        """Start loading; the engine opens its socket once it is ready."""
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve on until the HTTP workers are done, then end; an engine still loading just ends."""
        if self._engine is None:
            os._exit(0)  # not through Python's exit: ONNX Runtime is at work in the other thread
        self._engine.stop()
        self._thread.join(DRAIN_S + 1)

    def _run(self) -> None:
        parent = os.getppid()
        try:
            self._engine = start_engine(ServerConfig.from_env())
            self._engine.serve()
            if os.getppid() != parent:
                os._exit(0)  # nobody is left to stop this process
        except BaseException as error:
            log.critical("the engine ends: %s", error, exc_info=not isinstance(error, SessionError))
            os._exit(1)  # gunicorn starts a new one


def start_engine(config: ServerConfig) -> Engine:
    """Load, warm up and self-test the model, and return an engine that listens: it is ready.

    Raises:
        BundleError, SessionError: the model cannot be served on this host.
    """
    os.environ["PROMETHEUS_MULTIPROC_SLOT"] = "engine"
    from server import metrics  # only now: on import it opens the files of the slot

    began = time.monotonic()
    bundle = load_bundle(find_bundle(config.models, config.model, config.version))
    manifest = bundle.manifest
    plans = choose_plans(config.provider, config.precision)
    session, failed = open_session(bundle, plans, config.threads_a_stream)
    streams = [session]
    for _ in range(config.inference_streams - 1):
        streams += open_session(bundle, [session.plan], config.threads_a_stream)[:1]
    for stream in streams:
        stream.warm_up(config.max_batch_size, manifest.latents.dim)
    give_back_memory()
    engine_metrics = metrics.EngineMetrics(
        manifest,
        session.plan.provider,
        session.plan.precision,
        [f"{plan.provider}/{plan.precision}" for plan in failed],
    )
    engine = Engine(
        config.socket_path(),
        [stream.run for stream in streams],
        wire.SlotShape(manifest.latents.dim, manifest.image.shape),
        Batcher(config.max_batch_size, config.max_queue_rows, time.monotonic),
        engine_metrics,
    )
    log.info(
        "serving %s %s on %s in %s, %d streams of %d threads, ready after %.1f s",
        manifest.name,
        manifest.version,
        session.plan.provider,
        session.plan.precision,
        len(streams),
        config.threads_a_stream,
        time.monotonic() - began,
    )
    return engine
