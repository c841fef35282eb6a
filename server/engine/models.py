"""The models that the engine draws with: loaded bundles, each with sessions and a queue."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from numpy.typing import NDArray

from server.config import PLANS
from server.engine.batch_limit import BatchLimit, mixed_rows
from server.engine.batcher import Batch, Batcher
from server.ipc.arena import SlotShape

Run = Callable[..., NDArray[Any]]
"""The function that draws latents float32 [N, latent_dim] as images uint8 [N, H, W, C], or float32
of a graph of float images. That of a conditional generator takes their classes too, int64 [N]."""

PAUSE_S = 0.05
"""The seconds between freeing two sessions, in which other models' batches run."""


class ServedModel:
    """One loaded bundle: the sessions that draw with it, and its queue.

    ``runs`` has a session for each stream. ``limit`` learns how large a batch may be; None leaves
    that as it is. ``plan`` is the sessions' plan, one of ``server.config.PLANS``. ``lone`` is
    set to a session on all processors, for lone batches.
    """

    def __init__(
        self,
        key: int,
        latent_dim: int,
        shape: SlotShape,
        runs: Iterable[Run],
        batcher: Batcher[Any],
        limit: BatchLimit | None = None,
        distribution: str = "normal",
        *,
        plan: str,
        class_count: int = 0,
    ) -> None:
        self.key = key
        """The bundle's key, or that of its float images, see ``server.bundle.files``."""
        self.latent_dim = latent_dim
        self.distribution = distribution
        """The distribution of the latents that seeds give, see ``server.bundle.latents``."""
        self.class_count = class_count
        """The number of classes; 0 of an unconditional generator."""
        self.shape = shape
        self.runs = list(runs)
        self.batcher = batcher
        self.lone: Run | None = None
        self._limit = limit
        self.plan_number = PLANS.index(plan)
        """The number by which answers name the plan."""
        self.running = 0
        """The number of batches in flight."""

    def run_for(self, stream: int, is_lone: bool) -> Run:
        """Return what runs a batch in ``stream``; ``is_lone`` if it is small and no other runs."""
        return self.lone if is_lone and self.lone is not None else self.runs[stream]

    def observe(self, rows: int, seconds: float, beside: int) -> None:
        """Learn from a batch of ``rows`` that took ``seconds``, one of ``beside`` running ones."""
        self.batcher.observe(rows, seconds / beside)
        if self._limit:
            self._limit.observe(rows, seconds)
            self.batcher.resize(self._limit.rows, mixed_rows(self._limit.rows))

    def close(self) -> None:
        """Free the sessions one by one: each holds Python's lock while it is freed."""
        self.lone = None
        while self.runs:
            self.runs.pop()
            time.sleep(PAUSE_S)

    @property
    def idle(self) -> bool:
        """Return whether nobody waits for images of the bundle."""
        return not self.running and not self.batcher.rows


class Models:
    """The models that are served; those that have work take turns, a batch each."""

    def __init__(self) -> None:
        self._served: dict[int, ServedModel] = {}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._served.values())

    def get(self, key: int) -> ServedModel | None:
        """Return the model of that key, None if it is not served."""
        return self._served.get(key)

    def add(self, served: ServedModel) -> None:
        """Start to serve a model."""
        self._served = {**self._served, served.key: served}  # other threads may be iterating

    def remove(self, key: int) -> None:
        """Stop serving the model of that key."""
        self._served = {k: x for k, x in self._served.items() if k != key}

    @property
    def rows(self) -> int:
        """Return the number of rows that wait in all queues."""
        return sum(served.batcher.rows for served in self)

    def due_in_s(self) -> float | None:
        """Return the seconds until a batch should be taken; None when nothing waits."""
        due = [x for served in self if (x := served.batcher.due_in_s()) is not None]
        return min(due, default=None)

    def take(self) -> tuple[ServedModel, Batch[Any]] | None:
        """Return the next batch and the model that draws it, None when no batch is due."""
        for served in self:
            if served.batcher.due_in_s() == 0:
                if len(self._served) > 1:  # this model's next turn comes after all others
                    self.remove(served.key)
                    self.add(served)
                return served, served.batcher.take()
        return None
