"""The sources of a request's rows: a range of seeds, a list of seeds, or latents.

A range passes through the socket, with the request's message. Lists and latents lie in the
request's slot of the arena, behind its images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

SEED_RANGE, SEEDS, LATENTS = range(3)
"""The kinds of sources, as a request's message names them."""


@dataclass(slots=True)
class SeedRange:
    """The rows of a request: ``n`` latents, those of the seeds ``seed`` to ``seed + n - 1``.

    They are multiplied by ``truncation``, which is above 0 and at most 1.
    """

    kind: ClassVar[int] = SEED_RANGE
    given: ClassVar[None] = None
    """What lies in the request's slot: nothing, as the message says it all."""
    seed: int
    n: int
    truncation: float = 1.0

    @property
    def seeds(self) -> range:
        """The seed of each row."""
        return range(self.seed, self.seed + self.n)


@dataclass(slots=True)
class Seeds:
    """The rows of a request: the latents of ``seeds``, in any order, and of one as often as it is
    there.

    They are multiplied by ``truncation``, which is above 0 and at most 1.
    """

    kind: ClassVar[int] = SEEDS
    seed: ClassVar[int] = 0
    seeds: Sequence[int] | NDArray[np.uint64]
    truncation: float = 1.0

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.seeds)

    @property
    def given(self) -> NDArray[np.uint64]:
        """What lies in the request's slot: the seeds as uint64 [n]."""
        return np.asarray(self.seeds, np.uint64)


@dataclass(slots=True, eq=False)
class Latents:
    """The rows of a request: latents float32 [n, latent_dim], any finite numbers.

    Those of a request for gradients have cotangents behind, see ``server.runtime.gradient``.
    """

    kind: ClassVar[int] = LATENTS
    seed: ClassVar[int] = 0
    seeds: ClassVar[None] = None
    truncation: ClassVar[float] = 1.0
    rows: NDArray[np.float32]

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.rows)

    @property
    def given(self) -> NDArray[np.float32]:
        """What lies in the request's slot: the latents."""
        return np.asarray(self.rows, np.float32)


Source = SeedRange | Seeds | Latents
"""The origin of a request's rows; each kind of source has ``n``, the number of rows."""
