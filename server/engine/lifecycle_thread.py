"""The thread of the lifecycle, which does what is asked for, what is due and what is left."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from server.engine.lifecycle import Answer, Lifecycle
from server.ipc.messages import Ask

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""The seconds between two times at which the thread checks whether work is due."""
SOON_S = 0.001
"""The seconds for which a request is waited for while something is left to finish."""


class LifecycleThread:
    """Keeps ``lifecycle`` serving what is wanted, from a thread that ends with the process.

    ``once_warm`` is called when what was loaded at the start has its full speed.
    """

    def __init__(self, lifecycle: Lifecycle, once_warm: Callable[[], None]) -> None:
        self._lifecycle = lifecycle
        self._once_warm = once_warm
        self._inbox: SimpleQueue[tuple[Ask, Answer]] = SimpleQueue()
        """The requests, each with the function that answers it."""
        self._is_warm = False
        """Whether nothing is left to finish."""

    def start(self) -> None:
        """Begin."""
        threading.Thread(None, self._run, "lifecycle", daemon=True).start()

    def ask(self, ask: Ask, answer: Answer) -> None:
        """Queue a request for the thread, which calls ``answer``."""
        self._inbox.put((ask, answer))

    def _run(self) -> None:
        while True:
            try:
                self.step()
            except Exception:
                log.exception("the model repository could not be looked at")

    def step(self) -> None:
        """Do the next request, or else the next step of what is left to finish, or else look."""
        try:
            self._lifecycle.do(*self._inbox.get(timeout=LOOK_S if self._is_warm else SOON_S))
        except Empty:
            if self._is_warm:
                self._lifecycle.look()
            elif not self._lifecycle.finish_next():
                self._is_warm = True
                self._once_warm()
