"""The engine process, which gunicorn starts, watches, and replaces when it dies.

The HTTP workers reconnect to the next engine and send it the requests that were not answered.
"""

import gc
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from gunicorn.dirty import DirtyApp

from server.bundle.manifest import BundleError
from server.config import ServerConfig
from server.engine import load_notes
from server.engine.engine import Engine
from server.engine.lifecycle import Lifecycle
from server.engine.lifecycle_thread import LifecycleThread
from server.engine.loader import Loader
from server.engine.watchdog import watch
from server.observability import gpus
from server.observability.process_stats import process_of, register_process
from server.runtime.plans import SessionError

log = logging.getLogger(__name__)

LOOK_S = 0.05
"""The seconds between two checks, by an engine that is to end, for living HTTP workers."""
SPARE_S = 1.0
"""The seconds by which an engine stops to drain before gunicorn kills it."""
JOIN_S = 0.5
"""The seconds of ``SPARE_S`` that the engine's loop may take to end."""
REPEAT_S = 0.5
"""The seconds between two repetitions of a SIGTERM that gunicorn forgot."""
RETRY_S = 5
"""The seconds that an engine which could not load waits before it ends and is started anew."""


class GunicornWorker(Protocol):
    """The part of gunicorn's worker that an engine needs."""

    cfg: Any
    alive: bool
    """Whether the engine should run, which it should not after SIGTERM."""

    def notify(self) -> None:
        """Tell the arbiter that the engine lives."""


class EngineApp(DirtyApp):  # type: ignore[misc]
    """The application that gunicorn starts: loads the bundles, proves them here, serves them.

    All of that happens in a thread of its own: gunicorn's thread must handle signals from the
    start.
    """

    def init(self) -> None:
        """Wait for ``start``: gunicorn does not say here which of the engines this is."""
        self._engine: Engine | None = None
        self._closing = threading.Event()

    def start(self, number: int, parent: int, worker: GunicornWorker) -> None:
        """Start loading as engine ``number``, from 0; it opens its socket once it is ready.

        The engine serves for as long as its arbiter, the process ``parent``, lives.
        """
        self._number, self._parent, self._worker = number, parent, worker
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        threading.Thread(target=self._repeat_sigterm, daemon=True).start()

    def close(self) -> None:
        """Serve, or go on loading, until no HTTP worker lives, and end then."""
        ends = time.monotonic() + self._worker.cfg.dirty_graceful_timeout - SPARE_S
        self._closing.set()
        workers = ServerConfig.from_env().processes_path
        while one_lives(workers) and self._thread.is_alive() and time.monotonic() < ends:
            self._wait()
        if self._engine is None:
            os._exit(0)  # Python's own exit is not safe while ONNX Runtime works in another thread
        left_s = max(0.0, ends - time.monotonic())
        self._engine.stop(left_s)
        while self._thread.is_alive() and time.monotonic() < ends + JOIN_S:
            self._wait()

    def _wait(self) -> None:
        """Wait for ``LOOK_S``, or until the engine has ended, and give a sign of life."""
        self._worker.notify()  # gunicorn's own loop, which does, has ended
        self._thread.join(LOOK_S)

    def _repeat_sigterm(self) -> None:
        """Repeat a SIGTERM that came before gunicorn's loop ran, which only noted it."""
        while not self._closing.wait(REPEAT_S):
            if not self._worker.alive:
                os.kill(os.getpid(), signal.SIGTERM)

    def _run(self) -> None:
        try:
            config = ServerConfig.from_env()
            self._engine = start_engine(config, self._number, self._parent)
            watch(self._engine, config.batch_timeout_ms / 1000, config.silence_s)
            self._engine.serve()
            if os.getppid() != self._parent:
                os._exit(0)  # nobody is left to stop this process
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the process, after ``RETRY_S`` if it could not load: gunicorn restarts at once."""
        pause_s = 0 if self._engine or self._closing.is_set() else RETRY_S
        again = f"; it is tried again in {pause_s} s" if pause_s else ""
        expected = isinstance(error, (SessionError, BundleError))
        log.critical("the engine ends: %s%s", error, again, exc_info=not expected)
        self._closing.wait(pause_s)
        os._exit(load_notes.FAILED_STATUS)


def one_lives(folder: Path) -> bool:
    """Return whether an HTTP worker that is registered in ``folder`` lives, or who answers gRPC."""
    for note in (*folder.glob("http-*"), *folder.glob("grpc-*")):
        with suppress(OSError):  # the worker ended
            process_of(note)
            return True
    return False


def start_engine(config: ServerConfig, number: int, parent: int) -> Engine:
    """Load the bundles that are wanted, and return an engine that is ready and listens.

    Engine ``number`` takes the GPU of that number, where there are any. The engine serves for as
    long as the process ``parent`` lives.

    Raises:
        BundleError, SessionError: the default model cannot be served on this host.
    """
    name = f"engine-{number}"
    os.environ["PROMETHEUS_MULTIPROC_SLOT"] = name
    # The import opens the files of the slot set above.
    from server.observability.engine_metrics import EngineMetrics

    gpus.take(number)
    began = time.monotonic()
    engine_metrics = EngineMetrics(again=register_process(config.processes_path, name))
    engine_dir = config.engine_dirs[number]
    load_notes.end(engine_dir.starting)
    load_notes.begin(engine_dir.starting)
    engine_metrics.death(load_notes.last_death(engine_dir))
    lifecycle = Lifecycle(
        config, Loader(config, engine_dir, time.monotonic), engine_metrics, engine_dir
    )
    thread = LifecycleThread(lifecycle, once_warm=_spare_the_collector)
    loaded = lifecycle.start()
    streams = len(loaded[0].served.runs)
    engine = Engine(engine_dir.socket, streams, engine_metrics, on_ask=thread.ask, parent=parent)
    for served in chain.from_iterable(each.all_served for each in loaded):
        engine.add(served)
    lifecycle.serve_on(engine)
    load_notes.end(engine_dir.starting)
    thread.start()
    log.info("%s is ready after %.1f s", name, time.monotonic() - began)
    return engine


def _spare_the_collector() -> None:
    """Have the garbage collector no longer look through what was loaded, which stays."""
    gc.collect()
    gc.freeze()
