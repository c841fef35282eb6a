"""What became of the requests of a load test: exact times of good ones, kinds of the others."""

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loadtests.answers import Late, Refused, WrongAnswer

MOST_KINDS = 50
"""How many kinds of one outcome are told apart: a server that is never wrong twice alike has one
for each request."""
OTHERS = "others"


@dataclass
class Outcomes:
    """What became of the requests of one name."""

    good_ms: "array[float]" = field(default_factory=lambda: array("d"))
    """The time of each good answer, in milliseconds, as it was measured."""
    refused: Counter[str] = field(default_factory=Counter)
    """The number of each kind of honest refusal: 503 or 429 that says when to ask again."""
    late: Counter[str] = field(default_factory=Counter)
    """The number of requests that were accepted and not done by their deadline, by kind."""
    failed: Counter[str] = field(default_factory=Counter)
    """The number of each kind of fault: a wrong answer, an error, or no answer at all."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        others = (self.refused, self.late, self.failed)
        return len(self.good_ms) + sum(kinds.total() for kinds in others)

    def add(self, time_ms: float, error: BaseException | None) -> None:
        """Count one request by its error; one without any is good, and its time is kept."""
        if error is None:
            self.good_ms.append(time_ms)
        elif isinstance(error, Refused):
            _count(self.refused, str(error), 1)
        elif isinstance(error, Late):
            _count(self.late, str(error), 1)
        else:
            _count(self.failed, _kind(error), 1)

    def merge(self, other: "Outcomes") -> None:
        """Add what became of other requests of the same name."""
        self.good_ms.extend(other.good_ms)
        for mine, theirs in (
            (self.refused, other.refused),
            (self.late, other.late),
            (self.failed, other.failed),
        ):
            for kind, count in theirs.items():
                _count(mine, kind, count)


@dataclass
class Record:
    """What became of all requests, by their names."""

    of: dict[str, Outcomes] = field(default_factory=dict)

    def add(self, name: str, time_ms: float, error: BaseException | None) -> None:
        """Count one request."""
        self.of.setdefault(name, Outcomes()).add(time_ms, error)

    def merge(self, other: "Record") -> None:
        """Add what became of other requests."""
        for name, outcomes in other.of.items():
            self.of.setdefault(name, Outcomes()).merge(outcomes)

    @property
    def requests(self) -> int:
        """The number of requests of all names."""
        return sum(outcomes.requests for outcomes in self.of.values())

    def total(self) -> Outcomes:
        """Return what became of the requests of all names together."""
        found = Outcomes()
        for outcomes in self.of.values():
            found.merge(outcomes)
        return found

    def packed(self) -> dict[str, Any]:
        """Return the record as what Locust's messages can hold."""
        return {
            name: [x.good_ms.tobytes(), dict(x.refused), dict(x.late), dict(x.failed)]
            for name, x in self.of.items()
        }

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> "Record":
        """Return the record that ``packed`` was made of."""
        record = cls()
        for name, (times, *kinds) in packed.items():
            outcomes = Outcomes(array("d"), *map(Counter, kinds))
            outcomes.good_ms.frombytes(times)
            record.of[name] = outcomes
        return record


def _kind(error: BaseException) -> str:
    """Return what a fault is, without the address, which differs from request to request."""
    words = re.sub(r"URL \S+: ", "", str(error))
    return words if isinstance(error, WrongAnswer) else f"{type(error).__name__}: {words}"


def _count(kinds: Counter[str], kind: str, count: int) -> None:
    kinds[kind if kind in kinds or len(kinds) < MOST_KINDS else OTHERS] += count
