"""Whether a process that gives no sign of life hangs, or only waits until it may run.

gunicorn ends a process whose last sign is old, and cannot tell why it is: a limit that a busy
machine or a slow start never reaches is long, and the callers of a process that does hang wait for
it. What hangs differs from what is held up: it takes no processor time, and Linux says that it
sleeps or was stopped, not that it would run.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

from server.observability.process_stats import PROC, facts, run_ticks

log = logging.getLogger(__name__)

SIGN_S = 0.25
"""How often an HTTP worker gives a sign of life."""
SILENT_S = 1.75
"""A process with a younger sign does not hang."""
STILL_S = 1.0
"""For how long it must have done nothing."""
LOOK_S = 1.0
"""How often gunicorn looks."""
LATE_S = 0.5
"""Who looks so much later was held up, perhaps with all the others, and begins anew."""
ASLEEP = "ST"
"""States of a thread that waits for something, or was stopped. Not of one that waits for the
processor (R) or a disk (D), and not under a debugger (t). Source: proc(5)."""
STOPPED = "T"


class Stillness:
    """For how long all looks, one every ``look_s``, have found the same and nobody at work."""

    def __init__(self, look_s: float, clock: Callable[[], float]) -> None:
        self._look_s, self._clock = look_s, clock
        self._seen: Hashable = None
        self._since = self._looked = -math.inf

    def seconds(self, seen: Hashable, at_rest: bool) -> float:
        """Note what was found now, and return for how long it has been so."""
        now = self._clock()
        was_late = now - self._looked > self._look_s + LATE_S
        if was_late or not at_rest or seen != self._seen:
            self._seen, self._since = seen, now
        self._looked = now
        return now - self._since


class Vigil:
    """Takes the place of ``worker.tmp``, gunicorn's file whose time is the last sign of life.

    ``states`` are those that all threads of a process are in when it hangs.
    """

    def __init__(
        self, worker: Any, states: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker, self._states, self._clock = worker, states, clock
        self._signs = worker.tmp
        self._stillness = Stillness(LOOK_S, clock)

    def notify(self) -> None:
        """Give a sign of life."""
        self._signs.notify()

    def rest(self, seconds: float) -> None:
        """Give no sign for so long: what a process does at its end, as sending traces, may wait."""
        until = self._clock() + seconds
        os.utime(self.fileno(), (until, until))

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._signs.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the file."""
        self._signs.close()

    def last_update(self) -> float:
        """Return when the last sign was, or that there never was one: gunicorn kills what hangs."""
        sign: float = self._signs.last_update()
        if not self._hangs(sign):
            return sign
        log.critical("process %d hangs, and is killed", self._worker.pid)
        self._worker.aborted = True  # it would not hear that it should end
        return -math.inf

    def _hangs(self, sign: float) -> bool:
        process = PROC / str(self._worker.pid)
        try:
            seen = (sign, run_ticks(facts(process)))
            at_rest = all_in(self._states, (process / "task").iterdir())
        except OSError:  # it ended, or a sandbox shows no processes: gunicorn's own limit is left
            return False
        still_s = self._stillness.seconds(seen, at_rest)
        return still_s >= STILL_S and self._clock() - sign >= SILENT_S


def all_in(states: str, threads: Iterable[Path]) -> bool:
    """Tell whether each of ``threads``, folders of ``/proc``, is in one of ``states``.

    Raises:
        OSError: one ended.
    """
    return all(facts(thread)[0] in states for thread in threads)
