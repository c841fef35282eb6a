"""What the engines' arbiter does beside gunicorn's own: it says what engines died of, and waits.

gunicorn kills an engine that gives no sign of life. One that loads while it is starved of processor
time gives none, for longer than that limit: it is given more time while it runs, or waits to run.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from server.engine import load_notes
from server.ipc.engine_dir import EngineDir
from server.progress import Progress, threads_of

MOST_S = 300.0
"""The seconds beyond gunicorn's limit that an engine may be silent while it loads: one that runs
for ever with Python's lock held makes progress, too."""


class Heartbeat:
    """The heartbeat of the engine with the process id ``pid``, as its arbiter sees it.

    It stands for gunicorn's ``beat``. What the engine does counts as a sign of life while
    ``is_loading`` says that it loads.
    """

    def __init__(
        self,
        beat: Any,
        pid: int,
        is_loading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._beat = beat
        self._pid = pid
        self._is_loading = is_loading
        self._clock = clock
        self._progress = Progress()
        self._at_work = 0.0
        """The time at which the engine was last seen at work on a load."""

    def last_update(self) -> float:
        """Return the time of the last sign of life; gunicorn asks once a second."""
        if self._is_loading() and self._progress.made(threads_of(self._pid)):
            self._at_work = self._clock()
        beat = float(self._beat.last_update())
        return max(beat, min(self._at_work, beat + MOST_S))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beat, name)


def heartbeat(worker: Any, engine_dirs: list[EngineDir]) -> Heartbeat:
    """Return the heartbeat of ``worker``, gunicorn's view of an engine."""
    pid = worker.pid
    folders = engine_dirs[worker.number : worker.number + 1]
    return Heartbeat(
        worker.tmp, pid, lambda: any(load_notes.is_loading(folder, pid) for folder in folders)
    )


def witnessed(reap: Callable[[], None], arbiter: Any, engine_dirs: list[EngineDir]) -> Any:
    """Return ``reap``, gunicorn's function that takes note of dead engines, with causes noted."""

    def reap_and_note() -> None:
        for pid, worker in list(arbiter.workers.items()):
            status = _status(pid)
            if status is None or worker.number >= len(engine_dirs):
                continue
            cause = load_notes.cause_of(status, worker.aborted)
            if cause:
                how = f"signal {-status}" if status < 0 else f"status {status}"
                arbiter.log.error("engine-%d has died, %s (%s)", worker.number, cause, how)
            load_notes.witness(engine_dirs[worker.number], pid, cause)
        reap()

    return reap_and_note


def _status(pid: int) -> int | None:
    """Return the exit status of the child ``pid``, a signal's number negated; None if it lives.

    The child is left for gunicorn to reap.
    """
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
