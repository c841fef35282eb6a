"""The balance of connections: an HTTP worker that has more than the others leaves new ones to them.

All workers listen on one socket, and connections are kept alive. Without a balance, the worker that
woke first took most of the connections that came together: of 32 (``wrk -c32``) one worker of two
had 28 or more in two tries of eight, and the server drew 3,680 images a second in these two, 4,180
in the others. When a worker dies, all its callers come to the other workers, and its successor has
none; workers with more than their share then close connections, whose callers connect anew.
"""

import math
import mmap

import numpy as np

SLOTS = 512
"""The number of slots, one a worker: twice the most HTTP workers, as old and new ones run side by
side while the server reloads."""
NOBODY = 0xFFFF
"""The count of a slot without a worker that accepts connections."""
SLACK = 2
"""The number of connections by which a worker may be ahead without pausing: a smaller lead is not
worth a pause."""
SHARE = 16
"""A worker may be ahead by one in so many of the other's connections too: where there are hundreds,
a few more do not matter, and pauses would leave a crowd that connects at once waiting."""


class ConnectionBalance:
    """The workers' counts of connections, in memory shared by all processes forked afterwards."""

    def __init__(self) -> None:
        self._counts = np.frombuffer(mmap.mmap(-1, 2 * SLOTS), np.uint16)
        self._counts[:] = NOBODY

    def tell(self, slot: int, connections: int) -> None:
        """Note that the worker of ``slot`` has so many ``connections``."""
        self._counts[slot] = min(connections, NOBODY - 1)

    def leave(self, slot: int) -> None:
        """Note that the worker of ``slot`` accepts no more connections."""
        self._counts[slot] = NOBODY

    def surplus(self, slot: int) -> int:
        """Return how many connections beyond its share the worker has; 0 unless it is ahead."""
        mine = int(self._counts[slot])
        if mine == NOBODY or not self.is_ahead(slot, mine):
            return 0
        counts = self._counts[self._counts != NOBODY]
        return mine - math.ceil(int(counts.sum()) / len(counts))

    def is_ahead(self, slot: int, connections: int) -> bool:
        """Return whether a worker with ``connections`` has so many more than another."""
        before, after = self._counts[:slot], self._counts[slot + 1 :]
        least = min(before.min(initial=NOBODY), after.min(initial=NOBODY))
        return connections > int(least) + SLACK + int(least) // SHARE
