"""Progress: a bar on a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click
from tqdm import tqdm

LINE_S = 10.0
"""The seconds between two lines in a log."""


class Progress:
    """Tells how many of ``total`` images are done, the rate of this run, and the time left."""

    def __init__(
        self, total: int, done: int, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.done = done
        self._first, self._total, self._what = done, total, what
        self._clock = clock
        self._began = self._told = clock()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="img", unit_scale=True, desc=what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            click.echo(self.line(), err=True)

    def advance(self, images: int) -> None:
        """Note that so many images more are done."""
        self.done += images
        if self._bar is not None:
            self._bar.update(images)
        elif self._clock() - self._told >= LINE_S:
            self._told = self._clock()
            click.echo(self.line(), err=True)

    def line(self) -> str:
        """Return how far it is, in words."""
        spent_s = max(self._clock() - self._began, 1e-9)
        rate = (self.done - self._first) / spent_s
        left_s = (self._total - self.done) / rate if rate else 0
        told = f"{self._what}: {self.done:,} of {self._total:,} images, {rate:,.0f} images/s"
        return f"{told}, {left_s:,.0f} s left" if left_s else f"{told}, {spent_s:,.1f} s"
