"""A bundle made ready to serve: sessions opened, tested on the golden images, and warm.

Beside a model that is serving, this is done politely: the thread that loads has a low
priority, and what a session does later is done in the threads that run it.
"""

import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from server.bundle.manifest import Bundle, BundleError
from server.config import ServerConfig
from server.engine.batcher import Batcher
from server.engine.models import ServedModel
from server.ipc.arena import SlotShape
from server.ipc.atomic_file import write_whole
from server.ipc.engine_dir import EngineDir
from server.runtime.benchmark import measured_batch_size, mixed_batch_size
from server.runtime.plans import Plan, choose_plans
from server.runtime.session import Session, open_session

log = logging.getLogger(__name__)

CAP_SYS_NICE = 1 << 23
"""The capability to raise one's own priority. Source: capabilities(7)."""
LOW = 10
"""The priority (nice) of a load. The lowest, 19, was no gentler to those who are served, and took
5.0 s where this took 3.6, while all processors were busy."""
STREAMS_ON_GPU = 2
"""While one batch computes, the other is gathered, copied and answered."""
DEATHS = 2
"""Engines that may die of loading a bundle, one after the other: anybody may have killed one."""


@dataclass(frozen=True)
class Loaded:
    """A bundle that can be served, and how it will be run."""

    served: ServedModel
    plan: Plan
    failed: list[Plan]
    """What was tried before and cannot run it here."""


class Loader:
    """Loads bundles as the settings say."""

    def __init__(
        self, config: ServerConfig, engine_dir: EngineDir, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._engine_dir = engine_dir
        self._clock = clock
        self._batch_size: int | None = None
        """What the first bundle was measured to be fastest with."""
        self._streams: int | None = None

    def __call__(self, bundle: Bundle) -> Loaded:
        """Return ``bundle``, loaded, proven on this host, and warm.

        Raises:
            BundleError: its files were replaced meanwhile.
            SessionError: no runtime of this host draws its golden images.
        """
        config = self._config
        manifest = bundle.manifest
        fallback = config.fallback == "yes"
        plans = choose_plans(config.provider, config.precision, manifest, fallback)
        threads, cache = config.threads_a_stream, self._engine_dir.compiled
        session, failed = open_session(bundle, plans, threads, cache)
        streams = [session]
        for _ in range(self._count_streams(session.plan) - 1):
            streams += open_session(bundle, [session.plan], threads, cache)[:1]
        bundle.check_files()  # each stream has read them by itself
        dim = manifest.latents.dim
        size = config.max_batch_size or self._measured(bundle, streams)
        for stream in streams:
            stream.warm_up(size, dim)
        served = ServedModel(
            bundle.key,
            dim,
            SlotShape(manifest.image.shape),
            [stream.run for stream in streams],
            Batcher(
                size,
                config.max_queue_rows,
                self._clock,
                config.max_queue_delay_ms / 1000,
                size if session.plan.on_gpu else mixed_batch_size(size),
            ),
        )
        return Loaded(served, session.plan, failed)

    def _count_streams(self, plan: Plan) -> int:
        """Return how many batches are in flight, the same for all bundles of an engine."""
        if self._streams is None:
            streams = STREAMS_ON_GPU if plan.on_gpu else 0
            self._streams = self._config.streams or streams or self._config.inference_streams
        return self._streams

    def _measured(self, bundle: Bundle, streams: Sequence[Session]) -> int:
        """Return the measured batch size; the next engine of this server need not measure again.

        What is loaded beside others takes theirs: it could not be measured while they serve.
        """
        note = self._engine_dir.batch_size(bundle.key)
        if self._batch_size is None and note.exists():
            self._batch_size = int(note.read_text())
        if self._batch_size is None:
            own_thread = self._config.threads_a_stream == 1 and not streams[0].plan.on_gpu
            clock = time.thread_time if own_thread else time.perf_counter
            dim = bundle.manifest.latents.dim
            self._batch_size = measured_batch_size(streams, dim, clock)
        if not note.exists():
            write_whole(note, str(self._batch_size))
        return self._batch_size


@contextmanager
def noted(engine_dir: EngineDir, bundle: Bundle, insist: bool) -> Iterator[None]:
    """Keep a note in ``place`` for as long as ``bundle`` is being loaded: a line each time.

    What kills the engine leaves the note to the next one, which would die of it as well.

    Raises:
        BundleError: ``DEATHS`` engines have died of it; not if the caller would ``insist``.
    """
    note = engine_dir.loads(bundle.key)
    died = len(note.read_text().splitlines()) if note.exists() else 0
    if died >= DEATHS and not insist:
        raise BundleError(
            f"{died} engines died while they loaded it; it is not tried again until its files "
            "change, or an administrator loads it"
        )
    if died:
        log.warning("engines that loaded %s have died so far: %d", bundle.path, died)
    with suppress(OSError), note.open("a") as lines:  # of no use on a full file system
        lines.write(f"{bundle.path}\n")
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def at_low_priority(work: Callable[[], Loaded], threads_a_stream: int) -> Loaded:
    """Return what ``work`` does, in a thread of low priority.

    A session of one thread runs in its caller's later; one of several has threads of its own, which
    ``work`` starts. They get their priority back, or where that is not permitted keep it all along.
    """

    def low() -> Loaded:
        before = _threads()
        usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if threads_a_stream == 1 or _may_raise(usual):
            with suppress(OSError):  # a sandbox may forbid it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW)
        try:
            return work()
        finally:
            if threads_a_stream > 1:
                for thread in _threads() - before:
                    with suppress(OSError):  # it ended meanwhile
                        os.setpriority(os.PRIO_PROCESS, thread, usual)

    with ThreadPoolExecutor(1, "loader") as pool:
        return pool.submit(low).result()


def _may_raise(usual: int) -> bool:
    """Tell whether this process may give a thread the priority ``usual`` back."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - usual:
        return True
    status = Path("/proc/self/status").read_text()
    effective = next((x.split()[1] for x in status.splitlines() if x.startswith("CapEff")), "0")
    return bool(int(effective, 16) & CAP_SYS_NICE)


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
