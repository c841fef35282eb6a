"""The end of an engine: on request, or when the process that watches it is gone."""

import logging
import os
from collections.abc import Callable

log = logging.getLogger(__name__)

DRAIN_S = 29.0
"""The seconds for which an engine whose arbiter is gone serves on while HTTP workers finish
accepted requests: as long as one that gunicorn stops, see ``gunicorn.conf.py``."""
CONNECT_S = 1.0
"""The seconds after the engine began to listen for which it waits, though it is stopping, for HTTP
workers to connect: each worker tries every 50 ms."""


class Shutdown:
    """Decides when an engine ends; ``parent`` is the process that watches the engine.

    ``parent_of_now`` returns the process that is this one's parent at the moment.
    """

    def __init__(
        self, clock: Callable[[], float], parent: int | None, parent_of_now: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._parent_of_now = parent_of_now
        self._parent = parent_of_now() if parent is None else parent
        self._connect_by = clock() + CONNECT_S
        self._stop_at: float | None = None

    def stop(self, within_s: float = DRAIN_S) -> None:
        """Have the engine end once all workers have hung up, at the latest in ``within_s``."""
        self._stop_at = self._clock() + within_s

    @property
    def begun(self) -> bool:
        """Return whether the engine is to end, as ``stop`` was called or its parent is gone."""
        if self._stop_at is None and self._parent_of_now() != self._parent:
            log.warning("gunicorn's arbiter is gone; finishing what was accepted")
            self.stop()
        return self._stop_at is not None

    def is_over(self, workers: int, replaced: bool) -> bool:
        """Return whether an engine that is to end may end now.

        ``workers`` is the number of HTTP workers that are connected. A ``replaced`` engine does not
        wait for more workers to connect, since these find the newer engine.
        """
        now = self._clock()
        if not workers and (replaced or now >= self._connect_by):
            return True
        return self._stop_at is not None and now >= self._stop_at


def parent_process() -> int:
    """Return the id of this process's parent."""
    return os.getppid()
