"""What a generator is told to do in a trial, and what it notes; both go from process to process."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtests.capacity.kinds import Kind, Model


@dataclass(frozen=True)
class Orders:
    """What one generator has to do in a trial."""

    url: str
    kind: Kind
    model: Model
    deadline_ms: float
    """The milliseconds that each request allows the server."""
    length: int | None
    """The bytes of an answer's body; None where answers differ in length."""
    due_s: NDArray[np.float64]
    """When the requests are due after the start: float64 [requests], in order."""
    first: int
    """The number of the first request; the others' numbers follow, and decide over their seeds."""
    connections: int
    """The number of connections, which are opened before the start."""
    starts_s: float
    """The start, by ``time.monotonic``, which the processes of a machine share."""
    patience_s: float
    """The seconds for which answers are waited for after the last request."""


@dataclass
class Notes:
    """What one generator noted: arrays of an entry for each request, in seconds from the start."""

    due_s: NDArray[np.float64]
    handled_s: NDArray[np.float64]
    """When the generator turned to the request: when it was due, or late."""
    done_s: NDArray[np.float64]
    """When the answer was complete; not a number where it never was."""
    statuses: NDArray[np.int16]
    """The statuses of the answers; 0 where none was complete."""
    cpu_s: float = 0.0
    """The CPU time of the generator's process, from the start to the last answer."""
    busy: float = 0.0
    """The share of the time from the start to the last request in which the process ran."""
    compared: int = 0
    """The number of answers that were compared, byte by byte, with those to second requests."""

    @classmethod
    def of(cls, due_s: NDArray[np.float64]) -> "Notes":
        """Return the notes on requests that have yet to be made."""
        count = len(due_s)
        return cls(due_s, np.zeros(count), np.full(count, np.nan), np.zeros(count, np.int16))
