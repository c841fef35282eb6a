"""An engine process: what gunicorn starts, watches, and replaces when it dies.

The HTTP workers reconnect to the next engine and send again what was unanswered.
"""

import faulthandler
import gc
import logging
import os
import threading
import time

from gunicorn.dirty import DirtyApp

from server import devices
from server.config import ServerConfig
from server.engine.keeper import Keeper
from server.engine.loader import Loader
from server.engine.loop import DRAIN_S, Engine
from server.engine.plans import SessionError
from server.processes import enter, wait_for_a_turn

log = logging.getLogger(__name__)

WATCH_S = 0.2
"""How often the watchdog looks."""


class EngineApp(DirtyApp):  # type: ignore[misc]
    """What gunicorn starts: loads the bundle, proves it on this host, and serves it.

    All of it happens in a thread of its own: gunicorn's thread has to hear signals from the start.
    """

    def init(self) -> None:
        """Wait for ``start``: gunicorn does not say here which of the engines this is."""
        self._engine: Engine | None = None

    def start(self, number: int) -> None:
        """Start loading as engine ``number``, from 0; it opens its socket once it is ready."""
        self._number = number
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
        wait_for_a_turn()
        try:
            config = ServerConfig.from_env()
            self._engine = start_engine(config, self._number)
            watch(self._engine, config.batch_timeout_ms / 1000, config.silence_s)
            gc.collect()
            gc.freeze()  # what was loaded stays: the collector need not look through it again
            self._engine.serve()
            if os.getppid() != parent:
                os._exit(0)  # nobody is left to stop this process
        except BaseException as error:
            log.critical("the engine ends: %s", error, exc_info=not isinstance(error, SessionError))
            os._exit(1)  # gunicorn starts a new one


def watch(engine: Engine, limit_s: float, silence_s: float) -> threading.Thread:
    """Start a thread that ends this process when a batch runs for longer than ``limit_s``.

    A runtime that hangs cannot be interrupted; gunicorn starts a new engine, and the HTTP workers
    submit again what was unanswered. One that hangs with Python's lock stops the thread too: then
    a timer that needs no lock ends the process after ``silence_s``. gunicorn sees to a process
    that has stopped as a whole.
    """

    def look() -> None:
        while engine.longest_s() <= limit_s:
            faulthandler.dump_traceback_later(silence_s, exit=True)
            time.sleep(WATCH_S)
        log.critical("a batch has been running for %.1f s: the engine hangs, and ends", limit_s)
        os._exit(1)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    return thread


def start_engine(config: ServerConfig, number: int) -> Engine:
    """Load what is wanted of the repository, and return an engine that listens: it is ready.

    Engine ``number`` takes the GPU of that number, where there are any.

    Raises:
        BundleError, SessionError: the default model cannot be served on this host.
    """
    name = f"engine-{number}"
    os.environ["PROMETHEUS_MULTIPROC_SLOT"] = name
    from server import metrics  # only now: on import it opens the files of the slot

    devices.take(number)
    began = time.monotonic()
    engine_metrics = metrics.EngineMetrics(again=enter(config.processes_path, name))
    place = config.places[number]
    keeper = Keeper(config, Loader(config, place, time.monotonic), engine_metrics, place)
    loaded = keeper.start()
    engine = Engine(place.socket, len(loaded[0].served.runs), engine_metrics, on_ask=keeper.ask)
    for each in loaded:
        engine.add(each.served)
    keeper.follow(engine)
    log.info("%s is ready after %.1f s", name, time.monotonic() - began)
    return engine
