"""What both sides know of an engine's queue; the queue's policy needs this, and no messages."""

from typing import NamedTuple

SMALL_ROWS = 8
"""A request of this many rows, or fewer, is small: it has a lane of its own in the engine's queue,
and a part of its own in the arena, unless it is bulk."""


class QueueState(NamedTuple):
    """How full an engine's queue is, and how long that takes."""

    waiting_rows: int = 0
    """Rows that wait at the engine, or run."""
    limit_rows: int = 0
    """Rows that may wait."""
    wait_s: float = 0.0
    """How long the waiting rows take, as far as the engine can tell; where none wait and a request
    was refused, how long the refused rows take."""
    retry_after_s: float = 0.0
    """When a request that was refused would not be; 0 for all others."""
