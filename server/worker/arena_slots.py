"""The room in the arena of an HTTP worker: a slot for each request, or a place in line for one.

Nobody overtakes in the line of large requests: one that needs much would wait for ever. Small
requests have a part of the arena of their own, so that large ones, which fill the rest for as long
as they take, are not in their way.
"""

import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from gevent.event import AsyncResult

from server.errors import ClientGone, DeadlineExceeded
from server.ipc.arena import ALIGN

SMALL_PART = 32
"""One part in so many of the arena is for small requests alone."""


class FirstFit:
    """Hands out parts of an arena, first fit; neighbours that are given back become one.

    Of all its bytes, or of ``size`` of them from ``start`` on.
    """

    def __init__(self, size: int, start: int = 0) -> None:
        self.size = size
        self._free = [(start, size)]
        self._taken: dict[int, int] = {}

    @property
    def taken(self) -> int:
        """Bytes that are handed out."""
        return sum(self._taken.values())

    def take(self, size: int) -> int | None:
        """Return the offset of ``size`` free bytes, None when there are not so many together."""
        for i, (offset, free) in enumerate(self._free):
            if free >= size:
                self._taken[offset] = size
                if free > size:
                    self._free[i] = (offset + size, free - size)
                else:
                    del self._free[i]
                return offset
        return None

    def give_back(self, offset: int) -> None:
        """Free what ``take`` returned as ``offset``."""
        insort(self._free, (offset, self._taken.pop(offset)))
        merged: list[tuple[int, int]] = []
        for start, size in self._free:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self._free = merged


class Waiting:
    """One request that waits for a slot of ``size`` bytes."""

    def __init__(self, size: int, rows: int, peer: int | None) -> None:
        self.size = size
        self.rows = rows
        self.peer = peer
        """The descriptor of its caller's socket."""
        self.found = AsyncResult()
        """The offset of its slot, once there is one."""


class ArenaSlots:
    """Hands out the slots of an arena of ``arena_bytes``."""

    def __init__(self, arena_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        part = arena_bytes // SMALL_PART // ALIGN * ALIGN
        self._small = FirstFit(part)
        self._large = FirstFit(arena_bytes - part, start=part)
        self._lines: dict[bool, deque[Waiting]] = {True: deque(), False: deque()}
        """Who waits: small requests, and large ones."""
        self._clock = clock

    @property
    def most(self) -> int:
        """Bytes of the largest slot there can be."""
        return self._large.size

    @property
    def taken(self) -> int:
        """Bytes of all slots that are taken."""
        return self._small.taken + self._large.taken

    @property
    def waiting(self) -> Iterator[Waiting]:
        """Those that wait."""
        return (waiting for line in self._lines.values() for waiting in line)

    def find(self, size: int, small: bool) -> int | None:
        """Return the offset of a slot of ``size`` bytes, None if the request has to wait for it."""
        if self._lines[small]:
            return None
        return self._take(size, small)

    def wait(
        self, size: int, small: bool, rows: int, peer: int | None, deadline: float, timeout_s: float
    ) -> int:
        """Return the offset of a slot for ``rows`` rows, once there is one.

        Raises:
            DeadlineExceeded: there was none in time.
            ClientGone: the caller hung up, see ``hang_up``.
        """
        waiting = Waiting(size, rows, peer)
        self._lines[small].append(waiting)
        try:
            waiting.found.wait(max(deadline - self._clock(), 0))
            if not waiting.found.ready():
                raise DeadlineExceeded(timeout_s)
            return int(waiting.found.get())
        except BaseException:
            if waiting.found.successful():
                self.give_back(waiting.found.value)
            else:
                self._leave(waiting)
            raise

    def hang_up(self, waiting: Waiting) -> None:
        """Have a request wait no more: its caller is gone."""
        if not waiting.found.ready():
            self._leave(waiting)
            waiting.found.set_exception(ClientGone())

    def give_back(self, offset: int) -> None:
        """Free a slot, for those who wait."""
        (self._small if offset < self._small.size else self._large).give_back(offset)
        self._serve()

    def _leave(self, waiting: Waiting) -> None:
        """Take a request out of the line; what it was too large for may do for those behind it."""
        for line in self._lines.values():
            with suppress(ValueError):
                line.remove(waiting)
        self._serve()

    def _serve(self) -> None:
        """Give slots to those that wait, in their order, for as long as there is slots."""
        for small, line in self._lines.items():
            while line and (found := self._take(line[0].size, small)) is not None:
                line.popleft().found.set(found)

    def _take(self, size: int, small: bool) -> int | None:
        offset = self._small.take(size) if small else None
        return self._large.take(size) if offset is None else offset
