"""The rates at which a queue drains: that of all rows, and that of rows that go ahead of others."""

import math

AVERAGED_S = 1.0
"""The time constant, in seconds, of the averages that are the rates."""


class DrainRate:
    """The rate at which a long queue drains, averaged over the last second or so."""

    def __init__(self) -> None:
        self.rate: float | None = None
        """The drain rate in rows a second; None before the first measurement."""
        self.measured_at = -math.inf
        self._rows = 0.0
        self._seconds = 0.0
        self._pending: tuple[int, float] | None = None

    def left(self, rows: int, now: float) -> None:
        """Note that ``rows`` rows left the queue while others stayed."""
        self._pending = (rows, now)

    def until(self, now: float) -> None:
        """Note that the next rows leave, which ends the measurement of the rows before."""
        if self._pending is None:
            return
        rows, began = self._pending
        self._pending = None
        fade = math.exp((began - now) / AVERAGED_S)
        self._rows = fade * self._rows + rows
        self._seconds = fade * self._seconds + now - began
        if self._seconds > 0:
            self.rate = self._rows / self._seconds
            self.measured_at = now


class Newcomers:
    """The rate of the rows that come and go ahead of others, averaged over the last second or so.

    The average goes on while no rows come, so it is 0 where they come seldom.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        """The rate in rows a second."""
        self._noted_at = -math.inf

    def went(self, rows: int, now: float) -> None:
        """Note that ``rows`` rows have gone ahead since the last note."""
        seconds = max(now - self._noted_at, 1e-6)
        self._noted_at = now
        self.rate -= math.expm1(-seconds / AVERAGED_S) * (rows / seconds - self.rate)
