"""The order of big requests: the request that would end first if all took turns goes first.

When requests run one after the other in that order, none ends later than if they took turns (round
robin), and most end sooner. Under overload, turns are fatal: all requests are nearly done when
their deadlines cut them off. In this order the deadlines cut off requests that have not begun,
which have cost nothing.
Source: Friedman and Henderson 2003, "Fairness and Efficiency in Web Server Protocols".
"""

import itertools
from bisect import insort
from collections.abc import Iterator
from typing import Any

BULK_WEIGHT = 0.25
"""The weight of a request that lets others go first."""


def weight(bulk: bool) -> float:
    """Return the weight of a request, ``bulk`` if it lets others go first."""
    return BULK_WEIGHT if bulk else 1.0


class Entry:
    """A request in the order; ``weight`` is its share of the turns it would take."""

    __slots__ = ("end", "number", "owner", "weight")

    def __init__(self, owner: Any, end: float, weight: float, number: int) -> None:
        self.owner = owner
        self.end = end
        """The virtual time, see ``FairOrder``, at which the request would end with turns."""
        self.weight = weight
        self.number = number

    def __lt__(self, other: "Entry") -> bool:
        return (self.end, self.number) < (other.end, other.number)


class FairOrder:
    """Requests in the order of their virtual ends: when they would end if they took turns.

    In each turn a request would run one row, times its weight. The virtual time is the number of
    rows that a request of weight 1 would have run so far; the rows that really ran move it on. A
    request stays among those that would take turns until its virtual end.
    """

    def __init__(self) -> None:
        self._turn = 0.0
        """The virtual time."""
        self._order: list[Entry] = []
        """The requests that still have rows to run, sorted by their virtual ends."""
        self._turns: list[Entry] = []
        """The requests that would still take turns, sorted by their virtual ends."""
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        """Yield the owners in their order."""
        return (entry.owner for entry in self._order)

    def entry(self, owner: Any, rows: int, weight: float) -> Entry:
        """Return the entry that ``rows`` rows of ``owner`` would have if they came now."""
        return Entry(owner, self._turn + rows / weight, weight, next(self._numbers))

    def add(self, entry: Entry) -> None:
        """Put ``entry`` in its place."""
        insort(self._order, entry)
        insort(self._turns, entry)

    def first(self) -> Any:
        """Return the owner of the first entry, which runs next."""
        return self._order[0].owner

    def pop(self) -> None:
        """Remove the first entry: all its rows have run."""
        del self._order[0]
        self._end()

    def remove(self, owner: Any) -> None:
        """Remove the entry of ``owner``, if there is one, whether it has begun or not."""
        self._order = [entry for entry in self._order if entry.owner is not owner]
        self._turns = [entry for entry in self._turns if entry.owner is not owner]
        self._end()

    def _end(self) -> None:
        """Clear the turns once no request has rows to run: all requests are done."""
        if not self._order:
            self._turns.clear()

    def around(self, entry: Entry) -> tuple[list[Any], list[Any]]:
        """Return the owners that would run before ``entry``, and those after it, in order."""
        before = [other.owner for other in self._order if other < entry]
        return before, [other.owner for other in self._order[len(before) :]]

    def ran(self, rows: int) -> None:
        """Move the virtual time on by ``rows`` rows that ran."""
        left = float(rows)
        while self._turns:
            weight = sum(entry.weight for entry in self._turns)
            needed = (self._turns[0].end - self._turn) * weight
            if left < needed:
                self._turn += left / weight
                return
            left -= needed
            self._turn = self._turns.pop(0).end
