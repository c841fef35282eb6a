"""The loader, which makes a bundle ready to serve: opens, proves and warms its sessions.

A thread that loads a bundle while another bundle is served has a low priority; the threads that run
the session later have the usual one.
"""

import logging
import os
import resource
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from server.bundle.files import Bundle
from server.config import ServerConfig
from server.engine.batch_limit import LARGEST, BatchLimit, mixed_rows
from server.engine.batcher import Batcher
from server.engine.models import ServedModel
from server.ipc.arena import SlotShape
from server.ipc.atomic_file import write_whole
from server.ipc.engine_dir import EngineDir
from server.queue_state import SMALL_ROWS
from server.runtime.benchmark import measured_batch_size
from server.runtime.plans import Plan, choose_plans
from server.runtime.session import Session, open_session

log = logging.getLogger(__name__)

T = TypeVar("T")

CAP_SYS_NICE = 1 << 23
"""The capability to raise one's own priority. Source: capabilities(7)."""
LOW = 10
"""The priority (nice) of a load. The lowest, 19, was no gentler to the requests that are served,
and a load took 5.0 s with it instead of 3.6 while all processors were busy."""
STREAMS_ON_GPU = 2
"""The number of streams on a GPU: while one batch computes, the other is gathered, copied and
answered."""


@dataclass
class Loaded:
    """A bundle that can be served, and the plan that runs it."""

    served: ServedModel
    plan: Plan
    failed: list[Plan]
    """The plans that were tried before ``plan`` and cannot run the bundle on this host."""
    finish: Callable[[], None] | None = None
    """The function that does the rest for full speed; the bundle is served correctly meanwhile."""


class Loader:
    """Loads bundles as the settings say, in two steps.

    The first step is quick: one session with all threads, proven on the golden images, serves all
    streams. The second step, ``Loaded.finish``, gives each stream a session of its own and has
    every batch size compiled. On a GPU the first step does everything.
    """

    def __init__(
        self, config: ServerConfig, engine_dir: EngineDir, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._engine_dir = engine_dir
        self._clock = clock
        self._streams: int | None = None
        """The number of batches in flight, the same for all bundles of an engine."""
        self._gpu_batch_size: int | None = None
        """The batch size with which the first bundle was fastest on the GPU; None if unmeasured."""

    def __call__(self, bundle: Bundle) -> Loaded:
        """Return ``bundle``, loaded and proven on this host.

        Raises:
            BundleError: the bundle's files were replaced meanwhile.
            SessionError: no runtime of this host draws the bundle's golden images.
        """
        config = self._config
        fallback = config.fallback == "yes"
        plans = choose_plans(config.provider, config.precision, bundle.manifest, fallback)
        session, failed = self._open(bundle, plans, config.lone_threads)
        if session.plan.on_gpu:
            return self._on_gpu(bundle, session, failed)
        session.warm_up(1, bundle.manifest.latents.dim)
        size, limit = config.max_batch_size, None
        if not size:
            size, limit = LARGEST, BatchLimit(LARGEST)
        sessions = [session] * self._count_streams(config.inference_streams)
        served = self._served(bundle, sessions, size, mixed_rows(size), limit)
        finish = partial(self._finish, bundle, served, session, size)
        return Loaded(served, session.plan, failed, finish)

    def _count_streams(self, usual: int) -> int:
        """Return the number of streams: the setting's, or ``usual`` for the first bundle's plan."""
        if self._streams is None:
            self._streams = self._config.streams or usual
        return self._streams

    def _finish(self, bundle: Bundle, served: ServedModel, lone: Session, largest: int) -> None:
        """Give each stream a warm session of its own, and leave batches of few rows to ``lone``.

        Raises:
            BundleError, SessionError: a session cannot be opened; ``lone`` serves all streams on.
        """
        config, dim = self._config, bundle.manifest.latents.dim
        if config.threads_a_stream == config.lone_threads:
            lone.warm_up(largest, dim)
            streams = [lone]
        else:
            lone.warm_up(SMALL_ROWS, dim)
            streams = []
        while len(streams) < len(served.runs):
            stream, _ = self._open(bundle, [lone.plan], config.threads_a_stream)
            stream.warm_up(largest, dim)
            streams.append(stream)
        for number, stream in enumerate(streams):
            served.runs[number] = stream.run
        if streams[0] is not lone:
            served.lone = lone.run

    def _on_gpu(self, bundle: Bundle, session: Session, failed: list[Plan]) -> Loaded:
        config, dim = self._config, bundle.manifest.latents.dim
        threads = config.threads_a_stream
        others = self._count_streams(STREAMS_ON_GPU) - 1
        streams = [session]
        streams += [self._open(bundle, [session.plan], threads)[0] for _ in range(others)]
        size = config.max_batch_size or self._measured(bundle, streams)
        for stream in streams:
            stream.warm_up(size, dim)
        return Loaded(self._served(bundle, streams, size, size), session.plan, failed)

    def _open(self, bundle: Bundle, plans: list[Plan], threads: int) -> tuple[Session, list[Plan]]:
        """Return a session on the first of ``plans`` that works, and the plans that did not.

        The bundle's files are checked afterwards, since the session has read them by itself.
        """
        opened = open_session(bundle, plans, threads, self._engine_dir.compiled)
        bundle.check_files()
        return opened

    def _served(
        self,
        bundle: Bundle,
        sessions: Sequence[Session],
        size: int,
        mixed: int,
        limit: BatchLimit | None = None,
    ) -> ServedModel:
        config, manifest = self._config, bundle.manifest
        delay_s = config.max_queue_delay_ms / 1000
        batcher: Batcher[Any] = Batcher(
            size, config.max_queue_rows, self._clock, delay_s, mixed_batch_size=mixed
        )
        runs = [session.run for session in sessions]
        shape = SlotShape(manifest.image.shape)
        return ServedModel(bundle.key, manifest.latents.dim, shape, runs, batcher, limit)

    def _measured(self, bundle: Bundle, streams: Sequence[Session]) -> int:
        """Return the fastest batch size, noted so that the next engine need not measure it.

        The size is measured for the first bundle only: it cannot be while another one is served.
        """
        note = self._engine_dir.batch_size(bundle.key)
        if self._gpu_batch_size is None and note.exists():
            self._gpu_batch_size = int(note.read_text())
        if self._gpu_batch_size is None:
            self._gpu_batch_size = measured_batch_size(streams, bundle.manifest.latents.dim)
        if not note.exists():
            with suppress(OSError):  # a full file system takes no note
                write_whole(note, str(self._gpu_batch_size))
        return self._gpu_batch_size


def at_low_priority(work: Callable[[], T], threads_a_stream: int) -> T:
    """Return the result of ``work``, which runs in a thread of low priority.

    A session of one thread runs in its caller's thread later. A session of several threads has its
    own, which ``work`` starts: they get the usual priority afterwards. Where the process may not
    raise a priority, such work is done at the usual one.
    """

    def low() -> T:
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
                    with suppress(OSError):  # the thread ended meanwhile
                        os.setpriority(os.PRIO_PROCESS, thread, usual)

    with ThreadPoolExecutor(1, "loader") as pool:
        return pool.submit(low).result()


def _may_raise(usual: int) -> bool:
    """Return whether this process may give a thread the priority ``usual`` back."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - usual:
        return True
    status = Path("/proc/self/status").read_text()
    effective = next((x.split()[1] for x in status.splitlines() if x.startswith("CapEff")), "0")
    return bool(int(effective, 16) & CAP_SYS_NICE)


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
