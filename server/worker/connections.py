"""The connections of one HTTP worker: what each waits for, and which ones end for it.

A connection that waits too long for its caller ends, and one ends for another when there are too
many, too many bytes that callers do not read, or too many of large bodies. Nothing here runs for
each request: a connection notes what it waits for, and since when, and all of them are looked at
once a second.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from server.errors import BodiesFull, ProtocolError

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
    """When the wait began; for a reader, when it last had taken as much as it has to."""
    unsent: int
    """The bytes that its caller has not taken."""
    heard: int
    """The bytes of its request's body that are here, where that is large; 0 where it is not."""

    def end(self, refusal: ProtocolError | None = None) -> None:
        """Have the connection end soon, unless it does not wait any more by then.

        A caller whose request has begun is told ``refusal``, or that it took too long.
        """


@dataclass(frozen=True)
class Limits:
    """The limits of one HTTP worker's connections."""

    count: int
    """The number of connections beyond which one ends for a new one: the longest idle one, or that
    whose request has been arriving for longer."""
    idle_s: float
    """The seconds for which a connection may ask for nothing."""
    read_s: float
    """The seconds that a request may take to arrive, from its first byte to its last."""
    send_s: float
    """The seconds for which a caller may read nothing of its answer, or little."""
    unsent_bytes: int
    """The bytes of all answers together that callers have not taken, beyond which the caller that
    has read nothing for the longest time loses its connection. One answer may be as long."""
    body_bytes: int = 2**24
    """The most bytes of a body that carries latents."""
    bodies_bytes: int = 2**25
    """The bytes of all large bodies together, beyond which the request whose body comes most slowly
    is refused."""


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
        self._longest: list[tuple[float, Waiting]] = []
        """Connections and since when they waited, the longest last. No other connection has waited
        longer than those of them that still do."""
        self._unsent = 0
        self._heard = 0
        """The bytes of all large bodies that are here."""

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    @property
    def answered_now(self) -> int:
        """The number of connections whose requests are being answered."""
        return sum(connection.waits_for == NOTHING for connection in self._open)

    def add(self, connection: Waiting) -> None:
        """Note that a connection has begun, after one has ended for it where there are too many."""
        if len(self._open) >= self.limits.count:
            self._end_longest()
        self._open.add(connection)

    def remove(self, connection: Waiting) -> None:
        """Note that a connection has ended."""
        self.hold(connection, 0)
        self.hear(connection, 0)
        self._open.discard(connection)

    def hold(self, connection: Waiting, unsent: int) -> None:
        """Note how many bytes a connection's caller has not taken yet."""
        self._unsent += unsent - connection.unsent
        more = unsent > connection.unsent
        connection.unsent = unsent
        if more:
            self._end_readers(besides=connection)

    def hear(self, connection: Waiting, heard: int) -> None:
        """Note how many bytes of a large body are here: none any more once it is answered.

        Raises:
            BodiesFull: there are too many of all such bodies, and this one comes most slowly.
        """
        more = heard > connection.heard
        self._heard += heard - connection.heard
        connection.heard = heard
        if more and self._heard > self.limits.bodies_bytes:
            self._refuse_senders(connection)

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
        """End the connection whose caller has said nothing, or not all, for the longest time."""
        if connection := self._still_waiting() or self._look_who_waits():
            self._end(connection, "full")

    def _still_waiting(self) -> Waiting | None:
        while self._longest:
            since, connection = self._longest.pop()
            if connection in self._open and connection.since == since and _is_due(connection):
                return connection
        return None

    def _look_who_waits(self) -> Waiting | None:
        """Look at all connections: once for many that end, as a crowd may come at once."""
        waiting = sorted(filter(_is_due, self._open), key=_since, reverse=True)
        self._longest = [(x.since, x) for x in waiting]
        return self._still_waiting()

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

    def _refuse_senders(self, sending: Waiting) -> None:
        """Refuse the requests whose large bodies come most slowly, until the rest is few enough.

        Bodies that are here whole stay: they are being answered.
        """
        now = self._clock()

        def bytes_per_s(connection: Waiting) -> float:
            return connection.heard / max(now - connection.since, 1e-3)

        senders = [x for x in self._open if x.heard and (x.waits_for == REST or x is sending)]
        for sender in sorted(senders, key=bytes_per_s):
            if self._heard <= self.limits.bodies_bytes:
                return
            self.hear(sender, 0)
            refusal = BodiesFull(self.limits.bodies_bytes)
            if sender is sending:
                self._count("bodies")
                raise refusal
            self._end(sender, "bodies", refusal)

    def _end(self, connection: Waiting, reason: str, refusal: ProtocolError | None = None) -> None:
        self._count(reason)
        connection.end(refusal)


def _is_due(connection: Waiting) -> bool:
    """Return whether the connection's caller has said nothing, or not all."""
    return connection.waits_for in (REQUEST, REST)


def _since(connection: Waiting) -> float:
    return connection.since
