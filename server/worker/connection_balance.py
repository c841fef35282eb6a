"""How many connections each HTTP worker has: who has more than others leaves new ones to them.

All workers listen on one socket, and connections are kept. Without this, whoever woke first took
most of those that came together: of 32 (``wrk -c32``) one worker of two had 28 or more in two tries
of eight, and the server drew 3,680 images a second where it drew 4,180 in the others. When a worker
dies, all its callers come to the others, and its successor has none: those that have more than
their share send callers on.
"""

import math
import mmap

import numpy as np

SLOTS = 512
"""Twice the most HTTP workers: while the server reloads, old and new ones are there."""
NOBODY = 0xFFFF
"""What is written for a slot without a worker that accepts."""
SLACK = 2
"""By how many connections a worker may be ahead; what is gained by less is not worth a pause."""


class ConnectionBalance:
    """Counts in memory that all processes share which are forked after it is made."""

    def __init__(self) -> None:
        self._counts = np.frombuffer(mmap.mmap(-1, 2 * SLOTS), np.uint16)
        self._counts[:] = NOBODY

    def tell(self, slot: int, connections: int) -> None:
        """Note how many connections the worker of ``slot`` has."""
        self._counts[slot] = min(connections, NOBODY - 1)

    def leave(self, slot: int) -> None:
        """Note that the worker of ``slot`` accepts no more."""
        self._counts[slot] = NOBODY

    def surplus(self, slot: int) -> int:
        """Return how many connections beyond its share a worker has that is ahead, else 0."""
        mine = int(self._counts[slot])
        if mine == NOBODY or not self.is_ahead(slot, mine):
            return 0
        counts = self._counts[self._counts != NOBODY]
        return mine - math.ceil(int(counts.sum()) / len(counts))

    def is_ahead(self, slot: int, connections: int) -> bool:
        """Tell whether a worker with ``connections`` has more than another, and some."""
        before, after = self._counts[:slot], self._counts[slot + 1 :]
        least = min(before.min(initial=NOBODY), after.min(initial=NOBODY))
        return connections > int(least) + SLACK
