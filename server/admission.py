"""Which requests are accepted: those that would be in time, and would make no other one late."""

from collections.abc import Callable, Iterable
from typing import Protocol

MARGIN = 1.4
"""The factor by which a new request's time must exceed its expected wait: a shared machine is slow
now and then, others will go ahead, and a caller that is refused at once can ask elsewhere."""
LEAST_MARGIN = 1.3
"""The factor that is left to a request when others go ahead of it. With 1.1, one accepted request
in forty was late under overload. Of any 120 mixes of small and big requests, 17 in 21,125 were late
with 1.2, and 2 in 22,409 with 1.3, which drew as many images."""

LITTLE = 1 / 16
"""The part of another request's rows up to which a request is little beside it, and is not refused
for its sake: otherwise one huge request whose time is short would keep out all that are not."""


class Waits(Protocol):
    """A request that waits."""

    @property
    def rows(self) -> int:
        """The number of all its rows."""
        ...

    @property
    def left(self) -> int:
        """The number of its rows that wait."""
        ...

    @property
    def deadline(self) -> float:
        """The deadline in seconds."""
        ...


def in_time_in_s(
    rows: int,
    deadline: float,
    ahead: int,
    after: Iterable[Waits],
    wait_s: Callable[[int], float],
    now: float,
    little: float = LITTLE,
) -> float:
    """Return the seconds until a new request would be in time and would make no other late.

    The result is 0 or less if that is so now. The request has ``rows`` rows, ``ahead`` rows would
    run before it, and the requests ``after`` behind it, in this order. ``wait_s`` tells how long
    the first so many rows take. Requests that would be late without the new one do not count, nor
    those beside which it is ``little``.
    """
    again_s = wait_s(ahead + rows) - (deadline - now) / MARGIN
    for other in after:
        ahead += other.left
        if rows <= little * other.rows:
            continue
        ends_s, time_left = wait_s(ahead), other.deadline - now
        late_s = LEAST_MARGIN * wait_s(ahead + rows) - time_left
        if late_s > 0 and ends_s <= time_left:  # its margin grows until it ends
            again_s = max(again_s, min(late_s / (LEAST_MARGIN - 1), ends_s))
    return again_s
