"""What the workers of one training tell each other between the steps.

All of them call the same functions in the same order: each call waits for every worker.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from training.cluster import Cluster, ClusterError

LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
"""The errors with which an operation ends that waits for another worker in vain."""


class WorkerLost(Exception):
    """Another worker ended, or cannot be reached; nothing can be trained without it."""


@contextmanager
def all_workers_needed(cluster: Cluster) -> Iterator[None]:
    """Raise WorkerLost where an operation in the block ends because another worker is gone."""
    try:
        yield
    except LOST as error:
        if cluster.workers == 1:
            raise
        raise WorkerLost(
            "another worker ended or cannot be reached. Start all workers again by the same "
            f"command: they go on from the last finished epoch ({_first_line(error)})"
        ) from error


def _first_line(error: tf.errors.OpError) -> str:
    return str(error.message).partition("\n")[0].partition("}} ")[2] or str(error.message)


class Exchange:
    """The exchange of a cluster whose strategy is ``strategy``; a process alone keeps its own."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster) -> None:
        self.strategy = strategy
        self.cluster = cluster

    def wait(self) -> None:
        """Wait until all workers are here."""
        self.any(False)

    def any(self, asked: bool) -> bool:
        """Return whether any worker was ``asked``."""
        return bool(self._sum(tf.constant(int(asked))) > 0)

    def share(self, variables: Iterable[tf.Variable]) -> None:
        """Give the variables the values that they have with the chief."""
        if self.cluster.workers > 1:
            for variable in variables:
                variable.assign(self._of_chief(tf.convert_to_tensor(variable)))

    def agree(self, facts: dict[str, Any]) -> None:
        """Check that all workers have the same ``facts``, which JSON can write.

        Raises:
            ClusterError: they have not; where the facts differ, the message names them.
        """
        if self.cluster.workers == 1:
            return
        facts = json.loads(json.dumps(facts))
        told = self._facts_of_chief(facts)
        names = [name for name in facts if facts[name] != told.get(name)]
        if not self.any(bool(names)):
            return
        if not names:
            raise ClusterError("another worker has other settings or photographs; it says which")
        differ = ", ".join(f"{name} is {facts[name]!r}, not {told.get(name)!r}" for name in names)
        raise ClusterError(
            f"worker {self.cluster.index} has other settings or photographs than the chief "
            f"({differ}); give all workers the same"
        )

    def _facts_of_chief(self, facts: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(facts).encode()
        length = int(self._of_chief(tf.constant(len(text))))
        own = np.frombuffer(text[:length].ljust(length), np.uint8)
        letters = self._of_chief(tf.constant(own, tf.int32))
        return dict(json.loads(letters.numpy().astype(np.uint8).tobytes()))

    def _of_chief(self, value: tf.Tensor) -> tf.Tensor:
        """Return the chief's ``value``, which is a tensor of the same kind with every worker."""
        sent = tf.cast(value, tf.int64) if value.dtype.is_integer else value
        if not self.cluster.is_chief:
            sent = tf.zeros_like(sent)
        return tf.cast(self._sum(sent), value.dtype)

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        if self.cluster.workers == 1:
            return value
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
