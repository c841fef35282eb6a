"""What each limited key uses of its limits right now, over all HTTP workers.

The numbers lie in memory that the HTTP workers share. A request is let in under a lock of its key,
one that the system takes from a process that dies. What a key has in flight is noted for each HTTP
worker apart: what a dead one had is forgotten with it.
"""

import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from server.errors import RateExceeded, TooManyInFlight
from server.keys import MOST_KEYS, Key
from server.worker.connection_balance import SLOTS

SHARED = "KEY_LIMITS"
"""The variable with the descriptor of the shared memory and the slot of this HTTP worker."""
ROWS = 4 * MOST_KEYS
"""The number of names that are known at a time, those of earlier files among them."""
ROUNDING = 0.01
"""The part of an image by which a burst may be exceeded: times are rounded to 1e-10 s."""
EVERYBODY = ROWS
"""The number of the lock of all names; each row's lock has the row's number."""


class KeyLimits:
    """The limited keys' rows in shared memory, seen from the HTTP worker of ``slot``.

    A burst is kept as one time: when the bucket of images will be full again. An HTTP worker that
    is killed at any moment leaves it as it was, or as it should be.
    """

    def __init__(self, fd: int, slot: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.fd = fd
        self.slot = slot
        self._clock = clock
        memory = mmap.mmap(fd, 0)
        self._names = np.frombuffer(memory, np.uint64, ROWS)
        """The names' digests; 0 is a row without a name."""
        self._full_at = np.frombuffer(memory, np.float64, ROWS, 8 * ROWS)
        """The times at which the keys' buckets are full, by ``time.monotonic``."""
        flat = np.frombuffer(memory, np.uint32, ROWS * SLOTS, 16 * ROWS)
        self._in_flight = flat.reshape(ROWS, SLOTS)
        """The images in flight of each key and HTTP worker."""

    @classmethod
    def create(cls, clock: Callable[[], float] = time.monotonic) -> "KeyLimits":
        """Return new limits, for this process and those that are forked afterwards."""
        fd = os.memfd_create("carfront-key-limits")
        os.ftruncate(fd, ROWS * (16 + 4 * SLOTS))  # pages are allocated at the first write
        return cls(fd, 0, clock)

    @classmethod
    def shared(cls) -> "KeyLimits":
        """Return the limits of this server, or new ones where no arbiter has made any."""
        told = os.environ.get(SHARED)
        if not told:
            return cls.create()
        fd, slot = map(int, told.split())
        return cls(fd, slot)

    def hand_to(self, slot: int) -> None:
        """Tell this process, a new one, that it is the HTTP worker of ``slot``."""
        os.environ[SHARED] = f"{self.fd} {slot}"

    def leave(self, slot: int) -> None:
        """Forget what the HTTP worker of ``slot``, which is gone, had in flight."""
        self._in_flight[self._names.nonzero()[0], slot] = 0  # other rows have no memory yet

    def rows(self, names: Sequence[str]) -> list[int]:
        """Return the rows of the keys of ``names``, which go on with what they have used.

        Where none is free, the rows of keys with other names and nothing in flight are given away.
        """
        wanted = [_id(name) for name in names]
        with self._locked(EVERYBODY):
            known = {int(self._names[row]): int(row) for row in self._names.nonzero()[0]}
            new = [name for name in wanted if name not in known]
            for name, row in zip(new, self._free_rows(len(new), wanted), strict=True):
                known[name] = row
                self._names[row], self._full_at[row] = name, 0.0
        return [known[name] for name in wanted]

    def _free_rows(self, count: int, wanted: Sequence[int]) -> list[int]:
        """Return ``count`` rows of no name, or else of one that is not ``wanted``."""
        free = [int(row) for row in (self._names == 0).nonzero()[0][:count]]
        if len(free) < count:
            others = ~np.isin(self._names, np.array([0, *wanted], np.uint64))
            unused = others & ~self._in_flight.any(axis=1)
            free += [int(row) for row in unused.nonzero()[0][: count - len(free)]]
        return free

    def take(self, row: int, key: Key, images: int) -> None:
        """Let a request of ``key`` for so many ``images`` in.

        Raises:
            TooManyInFlight, RateExceeded: the key has no room for them now.
        """
        with self._locked(row):
            in_flight = int(self._in_flight[row].sum()) if key.in_flight else 0
            if key.in_flight and in_flight + images > key.in_flight:
                raise TooManyInFlight(key.name, images, in_flight, key.in_flight)
            if key.images_per_s:
                self._take_of_burst(row, key, images)
            if key.in_flight:
                self._in_flight[row, self.slot] += images

    def _take_of_burst(self, row: int, key: Key, images: int) -> None:
        now = self._clock()
        fills_in_s = self._fills_in(row, key, now) + images / key.images_per_s
        wait_s = fills_in_s - key.burst / key.images_per_s
        if wait_s * key.images_per_s > ROUNDING:
            raise RateExceeded(key.name, images, key.images_per_s, key.burst, wait_s)
        self._full_at[row] = now + fills_in_s

    def end(self, row: int, key: Key, images: int) -> None:
        """Note that ``images`` which ``take`` has let in are in flight no more."""
        if key.in_flight:
            self._in_flight[row, self.slot] -= images

    def refund(self, row: int, key: Key, images: int) -> None:
        """Give ``images`` back to the burst of ``key``: they were not drawn."""
        if key.images_per_s:
            with self._locked(row):
                self._full_at[row] -= images / key.images_per_s

    def left(self, row: int, key: Key) -> tuple[int, float]:
        """Return how many images ``key`` may draw at once, and in how many seconds all of them."""
        fills_in_s = self._fills_in(row, key, self._clock())
        return max(0, int(key.burst + ROUNDING - fills_in_s * key.images_per_s)), fills_in_s

    def room(self, row: int, key: Key) -> int:
        """Return how many more images ``key`` may have in flight."""
        return max(0, key.in_flight - int(self._in_flight[row].sum()))

    def _fills_in(self, row: int, key: Key, now: float) -> float:
        """Return the seconds until the bucket of ``key`` is full, which may have become smaller."""
        return min(max(0.0, float(self._full_at[row]) - now), key.burst / key.images_per_s)

    @contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        """Keep other processes out; greenlets of this one do not take turns meanwhile."""
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, number)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, number)


def _id(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") or 1
