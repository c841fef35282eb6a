"""The order of big requests: the one first that would end first if all ran side by side.

Run one after the other in that order, none ends later than if they took turns (round robin), and
most end sooner. Under overload turns are fatal: all requests are nearly done when their deadline
cuts them off. Here it cuts off those that have not begun, which have cost nothing.
Source: Friedman and Henderson 2003, "Fairness and Efficiency in Web Server Protocols".
"""

import itertools
from bisect import insort
from typing import Any


class Entry:
    """A request in the order; ``weight`` is its share of the turns it would take."""

    __slots__ = ("end", "number", "owner", "weight")

    def __init__(self, owner: Any, end: float, weight: float, number: int) -> None:
        self.owner = owner
        self.end = end
        """How far the turns would be when it would be done, see ``FairOrder``."""
        self.weight = weight
        self.number = number

    def __lt__(self, other: "Entry") -> bool:
        return (self.end, self.number) < (other.end, other.number)


class FairOrder:
    """Requests by when they would end if they took turns, a row each (times its weight).

    How far the turns would be is counted in rows for each request of weight 1. What really ran
    moves them on; a request stays among those that would take turns until it would be done there.
    """

    def __init__(self) -> None:
        self._turn = 0.0
        self._order: list[Entry] = []
        """What is still to run, first one first."""
        self._turns: list[Entry] = []
        """What would still take turns, first to end first."""
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._order)

    def entry(self, owner: Any, rows: int, weight: float) -> Entry:
        """Return where ``rows`` rows of ``owner`` would come in if they came now."""
        return Entry(owner, self._turn + rows / weight, weight, next(self._numbers))

    def add(self, entry: Entry) -> None:
        """Put ``entry`` in its place."""
        insort(self._order, entry)
        insort(self._turns, entry)

    def first(self) -> Any:
        """Return whose turn it is."""
        return self._order[0].owner

    def pop(self) -> None:
        """Take out the first: it has run."""
        del self._order[0]
        self._end()

    def remove(self, owner: Any) -> None:
        """Forget a request, whether it has begun or not; one that is not there is no error."""
        self._order = [entry for entry in self._order if entry.owner is not owner]
        self._turns = [entry for entry in self._turns if entry.owner is not owner]
        self._end()

    def _end(self) -> None:
        """Forget who would still take turns once nothing is to run: all of them are done."""
        if not self._order:
            self._turns.clear()

    def around(self, entry: Entry) -> tuple[list[Any], list[Any]]:
        """Return who would run before ``entry``, and who after it, each in order."""
        before = [other.owner for other in self._order if other < entry]
        return before, [other.owner for other in self._order[len(before) :]]

    def ran(self, rows: int) -> None:
        """Move the turns on by ``rows`` rows."""
        left = float(rows)
        while self._turns:
            weight = sum(entry.weight for entry in self._turns)
            needed = (self._turns[0].end - self._turn) * weight
            if left < needed:
                self._turn += left / weight
                return
            left -= needed
            self._turn = self._turns.pop(0).end
