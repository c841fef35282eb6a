"""Ctrl-C or SIGTERM during a run: the first ends the run after this epoch, the second at once."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None
"""The handler of a signal: a function, or one of the numbers of ``signal.SIG_DFL`` and its kind."""


class Stopped(Exception):
    """The run was stopped on request, and all finished epochs are saved."""


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Notes a first signal in a ``with`` block as ``requested``, and interrupts at a second."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._heard) for each in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _heard(self, *_: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print(
            "\nstopping after this epoch; Ctrl-C again stops at once, and the epoch is lost",
            file=sys.stderr,
            flush=True,
        )
