"""What the engine can draw with: bundles that are loaded, each with sessions and a queue."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.batch_limit import BatchLimit, mixed_rows
from server.engine.batcher import Batch, Batcher
from server.ipc.arena import SlotShape

Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Draws latents float32 [N, latent_dim] as images uint8 [N, H, W, C]."""

PAUSE_S = 0.05
"""The pause between two sessions that are let go: the others' batches run then."""


class ServedModel:
    """One loaded bundle: the sessions that draw with it, and its queue.

    ``runs`` has a session for each stream. ``limit`` learns how large a batch may be; None leaves
    that as it is. ``lone`` is set to a session on all processors, for batches of up to
    ``lone_rows`` rows beside which no other runs.
    """

    def __init__(
        self,
        key: int,
        latent_dim: int,
        shape: SlotShape,
        runs: Iterable[Run],
        batcher: Batcher[Any],
        limit: BatchLimit | None = None,
    ) -> None:
        self.key = key
        """The bundle's key, see ``server.bundle.manifest.Bundle.key``."""
        self.latent_dim = latent_dim
        self.shape = shape
        self.runs = list(runs)
        self.batcher = batcher
        self.lone: Run | None = None
        self.lone_rows = 0
        self._limit = limit
        self.running = 0
        """The number of batches in flight."""

    def run_for(self, stream: int, rows: int, alone: bool) -> Run:
        """Return what runs a batch of ``rows`` rows in ``stream``; ``alone`` if no other runs."""
        if alone and self.lone is not None and rows <= self.lone_rows:
            return self.lone
        return self.runs[stream]

    def observe(self, rows: int, seconds: float, beside: int) -> None:
        """Learn from a batch of ``rows`` rows that took ``seconds``, ``beside`` as many in all."""
        self.batcher.observe(rows, seconds / beside)
        if self._limit:
            self._limit.observe(rows, seconds)
            self.batcher.resize(self._limit.rows, mixed_rows(self._limit.rows))

    def close(self) -> None:
        """Let go of the sessions one by one: each keeps Python's lock for as long as it takes."""
        self.lone = None
        while self.runs:
            self.runs.pop()
            time.sleep(PAUSE_S)

    @property
    def idle(self) -> bool:
        """Return whether nobody waits for images of the bundle."""
        return not self.running and not self.batcher.rows


class Models:
    """The bundles that are served; those that have work take turns, a batch each."""

    def __init__(self) -> None:
        self._served: dict[int, ServedModel] = {}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._served.values())

    def get(self, key: int) -> ServedModel | None:
        """Return the bundle of that key, None if it is not served."""
        return self._served.get(key)

    def add(self, served: ServedModel) -> None:
        """Serve one more bundle."""
        self._served = {**self._served, served.key: served}  # others may be looking

    def remove(self, key: int) -> None:
        """Serve one bundle less."""
        self._served = {k: x for k, x in self._served.items() if k != key}

    @property
    def rows(self) -> int:
        """Return how many images wait."""
        return sum(served.batcher.rows for served in self)

    def due_in_s(self) -> float | None:
        """Return how long a batch may be waited for; 0 to take now, None when nothing waits."""
        due = [x for served in self if (x := served.batcher.due_in_s()) is not None]
        return min(due, default=None)

    def take(self) -> tuple[ServedModel, Batch[Any]] | None:
        """Return the next batch and whose it is, None when none is due."""
        for served in self:
            if served.batcher.due_in_s() == 0:
                if len(self._served) > 1:  # its turn is the last one now
                    self.remove(served.key)
                    self.add(served)
                return served, served.batcher.take()
        return None
