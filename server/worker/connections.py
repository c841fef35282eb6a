"""The connections of one HTTP worker: what each waits for, and which ones end for it.

A connection that waits too long for its caller ends, and one ends for another when there are too
many, or too many bytes that callers do not read. Nothing here runs for each request: a connection
notes what it waits for, and since when, and all of them are looked at once a second.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

NOTHING = ""
"""The connection does not wait for its caller: its request is being answered."""
REQUEST = "idle"
"""The connection waits for a request to begin."""
REST = "slow_request"
"""The connection waits for the rest of a request that has begun."""
READER = "slow_reader"
"""The connection waits for its caller to read an answer."""
END = "slow_end"
"""The connection waits for its caller to hang up."""
ENDING = "ending"
"""The connection has been told to end."""
END_S = 1.0
"""The seconds that a caller has to read why its request was refused, and to hang up."""


class Waiting(Protocol):
    """A connection, as far as it can wait."""

    waits_for: str
    since: float
    """When the wait began; for a reader, when it last took something."""
    unsent: int
    """The bytes that its caller has not taken."""

    def end(self) -> None:
        """Have the connection end soon, unless it does not wait any more by then."""


@dataclass(frozen=True)
class Limits:
    """The limits of one HTTP worker's connections."""

    count: int
    """The number of connections beyond which the longest idle one ends for a new one."""
    idle_s: float
    """The seconds for which a connection may ask for nothing."""
    read_s: float
    """The seconds that a request may take to arrive, from its first byte to its last."""
    send_s: float
    """The seconds for which a caller may read nothing of its answer."""
    unsent_bytes: int
    """The bytes of all answers together that callers have not taken, beyond which the caller that
    has read nothing for the longest time loses its connection. One answer may be as long."""


class Connections:
    """All connections of one HTTP worker; ``count`` is called with the reason of each end."""

    def __init__(
        self,
        limits: Limits,
        count: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self._count = count
        self._clock = clock
        self._open: set[Waiting] = set()
        self._unsent = 0

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Waiting) -> None:
        """Note that a connection has begun, after one has ended for it where there are too many."""
        if len(self._open) >= self.limits.count:
            self._end_longest()
        self._open.add(connection)

    def remove(self, connection: Waiting) -> None:
        """Note that a connection has ended."""
        self.hold(connection, 0)
        self._open.discard(connection)

    def hold(self, connection: Waiting, unsent: int) -> None:
        """Note how many bytes a connection's caller has not taken yet."""
        self._unsent += unsent - connection.unsent
        more = unsent > connection.unsent
        connection.unsent = unsent
        if more:
            self._end_readers(besides=connection)

    def sweep(self, idle_s: float | None = None) -> None:
        """End the connections that wait for too long; ``idle_s`` is another limit of idle ones."""
        now = self._clock()
        limits = {
            REQUEST: self.limits.idle_s if idle_s is None else idle_s,
            REST: self.limits.read_s,
            READER: self.limits.send_s,
            END: END_S,
        }
        for connection in self._open:
            longest = limits.get(connection.waits_for)
            if longest is not None and now - connection.since > longest:
                self._end(connection, connection.waits_for)

    def _end_longest(self) -> None:
        """End the connection that has been idle for the longest time, or that is slowest to ask."""
        for kind in (REQUEST, REST):
            waiting = [x for x in self._open if x.waits_for == kind]
            if waiting:
                self._end(min(waiting, key=_since), "full")
                return

    def _end_readers(self, besides: Waiting) -> None:
        """End those who have read nothing for the longest time, until the rest is few enough."""
        beyond = self._unsent - self.limits.unsent_bytes
        if beyond <= 0:
            return
        readers = [x for x in self._open if x.waits_for == READER and x is not besides]
        for reader in sorted(readers, key=_since):
            if beyond > 0:
                beyond -= reader.unsent
                self._end(reader, "unread")

    def _end(self, connection: Waiting, reason: str) -> None:
        self._count(reason)
        connection.end()


def _since(connection: Waiting) -> float:
    return connection.since
