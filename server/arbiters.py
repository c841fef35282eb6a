"""How gunicorn's arbiters start processes: they outlive those that cannot be started for now, and
those that were started hear the signals that stop the server.

Without it an arbiter ends, or its task that starts engines, where no process can be forked, or no
file made for its heartbeat, or where an HTTP worker fails before it serves.
"""

import mmap
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from gunicorn.errors import HaltServer

RETRY_S = 1.0
"""The seconds after which an HTTP worker is started instead of one that could not start."""

Start = Callable[..., Any]


def tried_again(
    start: Start, what: str, log: Any, prepare: Callable[[], None] = lambda: None
) -> Start:
    """Return ``start`` with an end to its errors: it returns None, and gunicorn tries again.

    ``what`` is the name of what it starts, in the log. ``prepare`` is called before.
    """

    def start_or_log(**options: Any) -> Any:
        try:
            prepare()
            return start(**options)
        except OSError as error:
            log.error("%s could not be started, which is tried again: %s", what, error)
            return None

    return start_or_log


class Survivor:
    """Has ``arbiter``, gunicorn's own that starts the HTTP workers, outlive what cannot be started.

    Until one HTTP worker has started, one that cannot start ends the server: a setting is amiss.
    """

    def __init__(
        self,
        arbiter: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._log, self._reap = arbiter.log, arbiter.reap_workers
        self._has_begun = mmap.mmap(-1, 1)  # shared with the processes that are forked
        self._not_before = 0.0
        arbiter.reap_workers = self._reap_workers
        arbiter.spawn_worker = tried_again(
            arbiter.spawn_worker, "an HTTP worker", self._log, self._pause
        )
        arbiter.spawn_dirty_arbiter = tried_again(
            arbiter.spawn_dirty_arbiter, "the engines' arbiter", self._log
        )

    def has_begun(self) -> None:
        """Note that this process, an HTTP worker, has started."""
        self._has_begun[0] = 1

    def _pause(self) -> None:
        self._sleep(max(0.0, self._not_before - self._clock()))

    def _reap_workers(self) -> None:
        while True:
            try:
                self._reap()
            except HaltServer as error:
                if not self._has_begun[0]:
                    raise
                self._not_before = self._clock() + RETRY_S
                self._log.error("an HTTP worker is tried again: %s", error.reason)
            else:
                return


def hear_signals(arbiter: Any) -> None:
    """Have a signal that stops the server end this process, until gunicorn has set it up.

    The process has the handlers of ``arbiter`` still. They note what comes in a copy of the
    arbiter's queue that nobody reads, and the server would wait for this process, 30 s.
    """
    stops = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    for number in stops:
        signal.signal(number, signal.SIG_DFL)
    noted = set()
    with suppress(queue.Empty):
        while True:
            noted.add(arbiter.SIG_QUEUE.get_nowait())
    if noted & stops:
        sys.exit(0)


def lowest_free(taken: Iterable[int]) -> int:
    """Return the lowest number from 0 on that is not ``taken``."""
    numbers = set(taken)
    return min(set(range(len(numbers) + 1)) - numbers)
