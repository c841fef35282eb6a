"""The terms on which images are asked for, and an engine's refusal of them."""

from dataclasses import dataclass
from typing import NamedTuple

from server.errors import QueueFull
from server.queue_state import SMALL_ROWS, QueueState
from server.worker.caller import Caller
from server.worker.peer import Peer

HOLDS_S = 0.5
"""The seconds for which a refusal stands for what the engine would say again: a queue that is full
may be empty in the next second."""


class RequestTerms(NamedTuple):
    """The terms on which a caller asks for images."""

    timeout_s: float
    """How long the caller is willing to wait."""
    bulk: bool = False
    """Whether the caller lets others go first."""
    peer: Peer | None = None
    """By which it is noticed that the caller hangs up; None where nobody can be asked."""
    caller: Caller | None = None
    """The holder of a key, whose limits count; None where nobody needs a key."""

    def is_small(self, rows: int) -> bool:
        """Tell whether a request of ``rows`` rows has a lane and a part of the arena of its own."""
        return rows <= SMALL_ROWS and not self.bulk


@dataclass(frozen=True)
class Refusal:
    """An engine's refusal of a request of ``rows`` rows on ``terms``: it would be late."""

    model: int
    """The key of the bundle that was asked for."""
    rows: int
    terms: RequestTerms
    said_at: float
    until: float
    """When the request would not be refused any more, as the engine expects."""
    queue: QueueState
    """The engine's queue as it refused."""

    def again(self, now: float) -> QueueFull:
        """Return a new error: one that is raised again and again keeps every traceback."""
        return QueueFull(self.queue._replace(retry_after_s=self.until - now))

    def holds_for(self, model: int, rows: int, terms: RequestTerms, now: float) -> bool:
        """Tell whether a request of ``rows`` rows on ``terms`` would surely be refused as well.

        That is a request for as many rows of the same model, as soon or sooner. A larger request
        may be served: it goes after others that a smaller one would make late.
        """
        return (
            now < min(self.until, self.said_at + HOLDS_S)
            and (model, rows, terms.bulk) == (self.model, self.rows, self.terms.bulk)
            and terms.timeout_s <= self.terms.timeout_s
        )
