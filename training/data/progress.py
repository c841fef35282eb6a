"""The progress of the preparation: a bar on a terminal, a few lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
LINES = 10
"""The number of lines printed where there is no terminal: one for each tenth."""


class Progress:
    """Prints on ``out`` how many of ``total`` photographs are done, and the seconds left."""

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
        """Count one photograph, and print the progress if it has changed visibly."""
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
