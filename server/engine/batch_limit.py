"""How large a batch may be on a processor: learned from the batches that are served."""

LARGEST = 64
"""Twice as many rows no longer fit the caches: 5 % fewer images on two processors."""
SMALLEST = 16
"""Smaller batches cost more than a tenth of the rate, however long this one takes."""
LONGEST_S = 0.2
"""How long a batch may take while the server is busy: who wants one image may wait for it."""
WEIGHT = 0.1
"""How much the newest batch counts in what a row takes."""
SLACK = 0.7
"""A batch may grow only if it is expected to take so much of the longest time: no to and fro."""


class BatchLimit:
    """The largest batch, between ``SMALLEST`` and ``largest``, that takes ``LONGEST_S`` at most."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._row_s: float | None = None
        """How many seconds a row of recent batches took."""
        self.rows = largest
        """The limit in rows."""

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch of ``rows`` rows that took ``seconds``; a small one tells nothing."""
        if 2 * rows < self.rows:
            return
        row_s = seconds / rows
        self._row_s = row_s if self._row_s is None else self._row_s + WEIGHT * (row_s - self._row_s)
        if self.rows > SMALLEST and self.rows * self._row_s > LONGEST_S:
            self.rows = max(SMALLEST, self.rows // 2)
        elif self.rows < self._largest and 2 * self.rows * self._row_s < SLACK * LONGEST_S:
            self.rows = min(self._largest, 2 * self.rows)


def mixed_rows(limit: int) -> int:
    """Return how much of a batch big requests may fill while small ones come, on a processor.

    Half of a batch takes half as long, and draws 4 % fewer images.
    """
    return max(limit // 2, min(limit, SMALLEST))
