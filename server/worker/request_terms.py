"""On which terms images are asked for, and the engine's word that they cannot be met."""

from dataclasses import dataclass
from typing import NamedTuple

from server.errors import QueueFull

HOLDS_S = 0.5
"""For how long at most an engine's word is taken for what it would say again: a queue that is full
may be empty in the next second."""


class RequestTerms(NamedTuple):
    """On which terms a caller asks for images."""

    timeout_s: float
    """How long it is willing to wait."""
    bulk: bool = False
    """Whether it lets others go first."""
    peer: int | None = None
    """The descriptor of its socket, to notice when it hangs up; None asks nobody."""


@dataclass(frozen=True)
class Refusal:
    """An engine's word that a request of ``rows`` rows on ``terms`` would be late."""

    model: int
    """The bundle's key."""
    rows: int
    terms: RequestTerms
    said_at: float
    until: float
    """When it would be no more, as the engine expects."""
    queue: tuple[int, int, float]
    """Rows that waited, how many may, and how long they would have taken in seconds."""

    def again(self, now: float) -> QueueFull:
        """Return the same word anew: an error that is raised again and again keeps every trace."""
        return QueueFull(*self.queue, self.until - now)

    def holds_for(self, model: int, rows: int, terms: RequestTerms, now: float) -> bool:
        """Whether one of ``rows`` rows on ``terms`` need not ask: it wants the same, as soon.

        A larger one may be served: it goes after others that a smaller one would make late.
        """
        return (
            now < min(self.until, self.said_at + HOLDS_S)
            and (model, rows, terms.bulk) == (self.model, self.rows, self.terms.bulk)
            and terms.timeout_s <= self.terms.timeout_s
        )
