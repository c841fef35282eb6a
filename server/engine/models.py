"""What the engine can draw with: bundles that are loaded, each with sessions and a queue."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from server.engine.batcher import Batch, Batcher
from server.ipc.arena import SlotShape

Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""

PAUSE_S = 0.05
"""Between two sessions that are let go: the others' batches run then."""


class ServedModel:
    """One loaded bundle."""

    def __init__(
        self,
        key: int,
        latent_dim: int,
        shape: SlotShape,
        runs: Iterable[Run],
        batcher: Batcher,
    ) -> None:
        self.key = key
        """The bundle's, see ``server.bundle.manifest.Bundle.key``."""
        self.latent_dim = latent_dim
        self.shape = shape
        self.runs = list(runs)
        """A session for each stream."""
        self.batcher = batcher
        self.running = 0
        """Batches in flight."""

    def close(self) -> None:
        """Let go of the sessions one by one: each keeps Python's lock for as long as it takes."""
        while self.runs:
            self.runs.pop()
            time.sleep(PAUSE_S)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for its images."""
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
        """Serve one more."""
        self._served = {**self._served, served.key: served}  # others may be looking

    def remove(self, key: int) -> None:
        """Serve one less."""
        self._served = {k: x for k, x in self._served.items() if k != key}

    @property
    def rows(self) -> int:
        """Images that wait."""
        return sum(served.batcher.rows for served in self)

    def due_in_s(self) -> float | None:
        """Return how long a batch may be waited for; 0 to take now, None when nothing waits."""
        due = [x for served in self if (x := served.batcher.due_in_s()) is not None]
        return min(due, default=None)

    def take(self) -> tuple[ServedModel, Batch] | None:
        """Return the next batch and whose it is, None when none is due."""
        for served in self:
            if served.batcher.due_in_s() == 0:
                if len(self._served) > 1:  # to the end of the line
                    self.remove(served.key)
                    self.add(served)
                return served, served.batcher.take()
        return None
