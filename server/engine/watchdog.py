"""The watchdog, which ends an engine in which a batch hangs.

A runtime that hangs cannot be interrupted. gunicorn starts a new engine, and the HTTP workers
submit the requests that were not answered again.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""The seconds between two looks of the watchdog at the engine."""


class Watched(Protocol):
    """The part of an engine that the watchdog needs."""

    def oldest_s(self) -> float:
        """Return the seconds for which the oldest batch has been running; 0 while none is."""


_lock = threading.Lock()
_loads = 0
"""The number of loads under way, during which the timer does not run."""


@contextmanager
def unhurried() -> Iterator[None]:
    """Have no timer end this process while a load goes on.

    Opening a session holds Python's lock, for long where the process is starved of processor time.
    The engines' arbiter sees that it is at work (``server.engine.supervision``), a timer does not.
    """
    global _loads
    with _lock:
        _loads += 1
        faulthandler.cancel_dump_traceback_later()
    try:
        yield
    finally:
        with _lock:
            _loads -= 1


def watch(engine: Watched, limit_s: float, silence_s: float) -> threading.Thread:
    """Start a thread that ends this process when a batch runs for longer than ``limit_s``.

    A runtime that hangs while it holds Python's lock stops that thread too. Then a timer that needs
    no lock ends the process after ``silence_s``, and logs a traceback. A process that was stopped
    as a whole is ended by gunicorn.
    """

    def look() -> None:
        while (seconds := engine.oldest_s()) <= limit_s:
            with _lock:
                if not _loads:
                    faulthandler.dump_traceback_later(silence_s, exit=True)
            time.sleep(LOOK_S)
        log.critical("a batch has been running for %.1f s: the engine hangs, and ends", seconds)
        os._exit(1)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    return thread
