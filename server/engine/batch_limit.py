"""The largest batch on a processor, which is learned from the batches that are served."""

LARGEST = 64
"""The largest limit in rows: 128 rows no longer fit the caches, and two processors drew 5 % fewer
images with them."""
SMALLEST = 16
"""The smallest limit in rows, however long a batch takes: fewer rows cost a tenth of the rate."""
LONGEST_S = 0.2
"""The seconds that a batch may take on a busy server: a request for one image may wait for it."""
WEIGHT = 0.1
"""The weight of the newest batch in the average time of a row."""
SLACK = 0.7
"""The part of ``LONGEST_S`` that a larger batch may be expected to take: the gap keeps the limit
from going to and fro."""


class BatchLimit:
    """The largest batch, between ``SMALLEST`` and ``largest``, that takes ``LONGEST_S`` at most."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._row_s: float | None = None
        """The average seconds of a row in recent batches; None before the first."""
        self.rows = largest
        """The limit in rows."""

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch of ``rows`` rows that took ``seconds``; small batches are ignored."""
        if 2 * rows < self.rows:
            return
        row_s = seconds / rows
        self._row_s = row_s if self._row_s is None else self._row_s + WEIGHT * (row_s - self._row_s)
        if self.rows > SMALLEST and self.rows * self._row_s > LONGEST_S:
            self.rows = max(SMALLEST, self.rows // 2)
        elif self.rows < self._largest and 2 * self.rows * self._row_s < SLACK * LONGEST_S:
            self.rows = min(self._largest, 2 * self.rows)


def mixed_rows(limit: int) -> int:
    """Return the rows of a batch that big requests may fill on a processor while small ones come.

    A half batch takes half as long, and half batches draw 4 % fewer images a second.
    """
    return max(limit // 2, min(limit, SMALLEST))
