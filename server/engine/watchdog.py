"""Ends an engine in which a batch hangs.

A runtime that hangs cannot be interrupted. gunicorn starts a new engine, and the HTTP workers
submit again what was unanswered.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from server.observability.process_stats import PROC, facts, run_ticks
from server.vigil import ASLEEP, STILL_S, Stillness, all_in

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often the watchdog looks."""
ASLEEP_S = 1.5
"""A batch that has been running for so long hangs if nobody works on it. One that is still computed
has all its time: the machine may be busy."""


class Watched(Protocol):
    """What the watchdog asks an engine."""

    streams: set[int]
    """Linux's ids of the threads that run batches."""

    def oldest(self) -> tuple[float, int]:
        """Return for how long the oldest batch has been running, 0 while none is, and in which."""


class Watchdog:
    """Says when a batch hangs: it runs for longer than ``limit_s``, or nobody works on it."""

    def __init__(
        self, engine: Watched, limit_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._limit_s = engine, limit_s
        self._stillness = Stillness(LOOK_S, clock)

    def what_hangs(self) -> str:
        """Return what is wrong with the oldest batch, nothing if it is not."""
        seconds, stream = self._engine.oldest()
        if seconds > self._limit_s:
            return f"a batch has been running for {seconds:.1f} s"
        still_s = self._still_s(stream) if seconds > LOOK_S else 0.0  # most never get there
        if seconds > ASLEEP_S and still_s > STILL_S:
            return f"nothing has been done for a batch for {still_s:.1f} s"
        return ""

    def _still_s(self, stream: int) -> float:
        """Return for how long neither a stream nor threads that may work for it have worked.

        Other streams have batches of their own.
        """
        own = {str(thread) for thread in (self._engine.streams | {threading.get_native_id()})}
        tasks = PROC / "self" / "task"
        try:
            of_stream = facts(tasks / str(stream))
            helpers = [thread for thread in tasks.iterdir() if thread.name not in own]
            at_rest = of_stream[0] in ASLEEP and all_in(ASLEEP, helpers)
        except OSError:  # a thread ended, or a sandbox shows none
            return 0.0
        return self._stillness.seconds((stream, run_ticks(of_stream)), at_rest)


def watch(engine: Watched, limit_s: float, silence_s: float) -> threading.Thread:
    """Start a thread that ends this process when a batch hangs, see ``Watchdog``.

    A runtime that hangs with Python's lock stops the thread too: then a timer that needs no lock
    ends the process after ``silence_s``. gunicorn sees to a process that has stopped as a whole.
    """
    watchdog = Watchdog(engine, limit_s)

    def look() -> None:
        while not (found := watchdog.what_hangs()):
            faulthandler.dump_traceback_later(silence_s, exit=True)
            time.sleep(LOOK_S)
        log.critical("%s: the engine hangs, and ends", found)
        os._exit(1)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    return thread
