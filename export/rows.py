"""The rows that a generator draws: latents, and in those of a conditional generator a class.

A row is float32 [latent_dim], or [latent_dim + 1] with the number of a class as its last value,
which float32 holds. So rows of either kind are cut, joined, compared and kept in files alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.convert import CLASS, LATENTS
from server.bundle.classes import classes_of
from server.bundle.latents import latents

if TYPE_CHECKING:  # TensorFlow is kept apart from what a session loads
    from server.runtime.session import Session

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class RowFacts:
    """The facts by which seeds become the rows of one generator."""

    latent_dim: int
    distribution: str = "normal"
    """The distribution of the latents, a key of ``server.bundle.latents.RULES``."""
    class_count: int = 0
    """The number of classes; 0 of an unconditional generator."""

    def of(self, seeds: Sequence[int]) -> Rows:
        """Return the rows of ``seeds``, each of its own class."""
        drawn = latents(seeds, self.latent_dim, self.distribution)
        return self.with_classes(drawn, classes_of(seeds, self.class_count or 1))

    def with_classes(self, drawn: Rows, classes: NDArray[np.integer[Any]]) -> Rows:
        """Return the latents ``drawn`` as rows, with ``classes`` if the generator has any."""
        if not self.class_count:
            return drawn
        return np.concatenate([drawn, classes[:, None].astype(np.float32)], axis=1)


def inputs_of(rows: Rows, takes_classes: bool) -> tuple[NDArray[Any], ...]:
    """Return the latents of ``rows``, and their classes, int64 [N], where a graph takes them."""
    if not takes_classes:
        return (rows,)
    return np.ascontiguousarray(rows[:, :-1]), rows[:, -1].astype(np.int64)


def feeds(inputs: Sequence[Any], rows: Rows) -> dict[str, NDArray[Any]]:
    """Return ``rows`` as the ``inputs`` of a graph or of ONNX Runtime's session, by name."""
    return dict(zip((LATENTS, CLASS), inputs_of(rows, len(inputs) > 1), strict=False))


def draw(session: "Session", rows: Rows) -> NDArray[np.uint8]:
    """Return the images of ``rows`` by ``session``."""
    return session.run(*inputs_of(rows, session.takes_classes))
