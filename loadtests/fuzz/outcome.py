"""What came of a conversation, whatever it was held over."""

from dataclasses import dataclass, field
from typing import Protocol


class Asked(Protocol):
    """What was asked, as far as the counts and the report show it."""

    @property
    def kind(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def images(self) -> object | None: ...


@dataclass(frozen=True)
class Fault:
    """One thing that the server did wrong."""

    kind: str
    """What was wrong, in words that are the same for all faults of the kind."""
    detail: str = ""


@dataclass
class Outcome:
    """What came of one conversation."""

    faults: list[tuple[Asked, Fault]] = field(default_factory=list)
    answers: list[tuple[Asked, str]] = field(default_factory=list)
    """The requests that were answered, with the status."""
    sent: int = 0
    """The number of requests that were sent."""
