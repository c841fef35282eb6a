"""The batches that an engine runs right now, and for how long they have been running."""

from collections.abc import Callable


class RunningBatches:
    """The batches in flight, at most one for each stream.

    Streams call ``begin`` and ``end`` in turn under the engine's lock; ``oldest_s`` may be called
    from any thread.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._batches: dict[int, tuple[float, int]] = {}
        """The time at which each stream's batch began, and its rows."""

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def rows(self) -> int:
        """Return the number of rows that are running."""
        return sum(rows for _, rows in self._batches.values())

    def begin(self, stream: int, rows: int) -> None:
        """Note that a batch of ``rows`` rows begins to run in ``stream``."""
        self._batches[stream] = self._clock(), rows

    def end(self, stream: int) -> None:
        """Note that the batch of ``stream`` has run."""
        del self._batches[stream]

    def oldest_s(self) -> float:
        """Return the seconds for which the oldest batch has been running; 0 while none is."""
        began = min((began for began, _ in list(self._batches.values())), default=None)
        return 0.0 if began is None else self._clock() - began
