"""The loader, which makes a bundle ready to serve: opens, proves and warms its sessions."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import prod
from typing import Any

from server.bundle.files import Bundle, floats_key, gradient_key
from server.bundle.manifest import FLOATS, GRADIENT
from server.config import ServerConfig
from server.engine.batch_limit import LARGEST, BatchLimit, mixed_rows
from server.engine.batcher import Batcher
from server.engine.loaded import Loaded
from server.engine.models import ServedModel
from server.ipc.arena import SlotShape
from server.ipc.atomic_file import write_whole
from server.ipc.engine_dir import EngineDir
from server.queue_state import SMALL_ROWS
from server.runtime.benchmark import measured_batch_size
from server.runtime.open_session import open_session
from server.runtime.plans import Plan, choose_plans, float_plans, gradient_plans
from server.runtime.session import Session, most_rows

log = logging.getLogger(__name__)

GRADIENT_COST = 4
"""The images that are drawn in the time of one gradient, roughly: the graph draws the image, goes
back through twice as many sums, and is run by the slower provider."""
STREAMS_ON_GPU = 2
"""The number of streams on a GPU: while one batch computes, the other is gathered, copied and
answered."""


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
        loaded = self._load(bundle, plans)
        if bundle.manifest.has_floats:
            beside = float_plans(loaded.plan, fallback or config.provider == "auto")
            loaded.on_demand[FLOATS].open = partial(self._load, bundle, beside)
        if bundle.manifest.has_gradient:
            beside = gradient_plans(loaded.plan)
            loaded.on_demand[GRADIENT].open = partial(self._load_gradient, bundle, beside)
        return loaded

    def _load(self, bundle: Bundle, plans: list[Plan]) -> Loaded:
        """Return ``bundle``, or its float images, as the first of ``plans`` that works runs it."""
        config = self._config
        # Threads that spin are for a session that is left to batches which run alone, as that of
        # float images never is.
        spins = config.lone_threads > config.threads_a_stream and not plans[0].floats
        session, failed = self._open(bundle, plans, config.lone_threads, spins)
        if session.plan.on_gpu:
            return self._on_gpu(bundle, session, failed)
        session.warm_up(1, bundle.manifest.latents.dim)
        size, limit = config.max_batch_size, None
        if not size:
            size = min(LARGEST, most_rows(bundle.manifest.image.shape))
            limit = BatchLimit(size)
        sessions = [session] * self._count_streams(config.inference_streams)
        served = self._served(bundle, sessions, size, mixed_rows(size), limit)
        if session.plan.floats:  # as fast with one session, and others would take 140 MB
            return Loaded(served, session.plan, failed)
        finish = partial(self._finish, bundle, served, session, size)
        return Loaded(served, session.plan, failed, finish)

    def _load_gradient(self, bundle: Bundle, plans: list[Plan]) -> Loaded:
        """Return the gradient of ``bundle``, with one session for all streams.

        Its batches take no longer than those that bulk work may fill while small requests come.
        """
        config = self._config
        session, failed = self._open(bundle, plans, config.lone_threads)
        images = config.max_batch_size or min(LARGEST, most_rows(bundle.manifest.image.shape))
        size = max(1, mixed_rows(images) // GRADIENT_COST)
        sessions = [session] * self._count_streams(config.inference_streams)
        return Loaded(self._served(bundle, sessions, size, size), session.plan, failed)

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
            lone.warm_up(min(SMALL_ROWS, largest), dim)
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

    def _open(
        self, bundle: Bundle, plans: list[Plan], threads: int, spins: bool = False
    ) -> tuple[Session, list[Plan]]:
        """Return a session on the first of ``plans`` that works, and the plans that did not.

        The bundle's files are checked afterwards, since the session has read them by itself.
        """
        opened = open_session(bundle, plans, threads, self._engine_dir.compiled, spins)
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
        config, z, image = self._config, bundle.manifest.latents, bundle.manifest.image
        delay_s = config.max_queue_delay_ms / 1000
        batcher: Batcher[Any] = Batcher(
            size, config.max_queue_rows, self._clock, delay_s, mixed_batch_size=mixed
        )
        runs = [session.run for session in sessions]
        plan = sessions[0].plan
        key, width, shape = bundle.key, z.dim, SlotShape(image.shape)
        if plan.floats:
            key, shape = floats_key(key), SlotShape(image.shape, "float32")
        elif plan.gradient:
            key, width = gradient_key(key), z.dim + prod(image.shape)
            shape = SlotShape((z.dim,), "float32")
        return ServedModel(
            key,
            width,
            shape,
            runs,
            batcher,
            limit,
            z.distribution,
            plan=str(plan),
            class_count=len(bundle.manifest.classes),
        )

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
