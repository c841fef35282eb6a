"""How far the preparation is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
LINES = 10
"""Lines in all where there is no terminal: one a tenth."""


class Progress:
    """Tells on ``out`` how many of ``total`` photographs are done, and how long it will take."""

    def __init__(
        self, total: int, out: TextIO | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.done = 0
        self._out = sys.stderr if out is None else out
        self._now = now
        self._bar = self._out.isatty()
        self._steps = 1000 if self._bar else LINES
        self._began = now()

    def advance(self) -> None:
        """Count one photograph; tell it where it makes a difference."""
        before = self.done * self._steps // self.total
        self.done += 1
        if self.done * self._steps // self.total > before:
            self._tell()

    def close(self) -> None:
        """End the line of a bar that was left unfinished."""
        if self._bar and 0 < self.done < self.total:
            print(file=self._out, flush=True)

    def _tell(self) -> None:
        rate = self.done / max(self._now() - self._began, 1e-9)
        left = (self.total - self.done) / rate
        text = f"{self.done:,} of {self.total:,} photographs, {rate:.0f}/s, {left:.0f} s left"
        if self._bar:
            filled = "#" * (self.done * WIDTH // self.total)
            end = "\n" if self.done == self.total else ""
            print(f"\r[{filled:<{WIDTH}}] {text}\033[K", end=end, file=self._out, flush=True)
        else:
            print(f"prepared {text}", file=self._out, flush=True)
