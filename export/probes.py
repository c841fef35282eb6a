"""The latents on which parity is measured: those of seeds, and some that no seed ever gives."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.tolerances import Limits, Tolerance
from server.bundle.latents import latents

Latents = NDArray[np.float32]
Images = NDArray[np.float32]

GOLDEN_SEEDS = [0, 1, 2, 3, 7, 42, 99, 1234, 65535, 999_999]
GOLDEN_SEEDS += [2**31 - 1, 2**32, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1]
"""The seeds of the golden images: both ends of the range among them, and the numbers at which a
32-bit or a float64 seed would go wrong."""
ROWS = 4096
"""The number of latents; those that the other kinds leave are of seeds."""
LEAST_SEEDS = 256
LARGEST = 8.572
"""The largest value in the latents of any seed, sqrt(-2 ln 2**-53)."""
DENORMAL = 1e-40
"""A float32 below the normal range, which a processor may flush to zero."""


@dataclass(frozen=True)
class Probe:
    """Latents of one kind, float32 [rows, latent_dim]."""

    name: str
    latents: Latents
    extreme: bool
    """Whether no seed gives such latents: their sums are larger, and so are rounding errors."""


def make_probes(latent_dim: int, rows: int = ROWS) -> list[Probe]:
    """Return every kind of latents, ordinary ones first.

    The first rows are the latents of the golden seeds, the next those of seed 0, 1, 2, ...
    """
    one_hot = np.eye(latent_dim, dtype=np.float32)
    ones = np.ones((1, latent_dim), np.float32)
    signs = np.where(np.arange(latent_dim) % 2, -1, 1).astype(np.float32)[None]
    flat = np.concatenate([ones, -ones, signs])
    some = one_hot[:: max(1, latent_dim // 8)]
    others = [
        Probe("repeated", np.repeat(latents([5], latent_dim), 9, axis=0), extreme=False),
        Probe("zeros", np.zeros((2, latent_dim), np.float32), extreme=False),
        Probe("denormal", np.float32(DENORMAL) * flat, extreme=False),
        Probe("one-hot", one_hot, extreme=False),
        Probe("five sigma", 5 * np.concatenate([flat, some, -some]), extreme=True),
        Probe("largest", np.float32(LARGEST) * np.concatenate([some, -some]), extreme=True),
    ]
    count = max(LEAST_SEEDS, rows - sum(len(probe.latents) for probe in others))
    seeds = GOLDEN_SEEDS + list(range(count - len(GOLDEN_SEEDS)))
    return [Probe("seeds", latents(seeds, latent_dim), extreme=False), *others]


def place(probes: list[Probe], row: int) -> str:
    """Return the name of ``row`` of all probes laid end to end, such as ``seeds[17]``."""
    for probe in probes:
        if row < len(probe.latents):
            return f"{probe.name}[{row}]"
        row -= len(probe.latents)
    raise IndexError(row)


@dataclass(frozen=True)
class Exam:
    """The latents of every probe, and the SavedModel's images of them."""

    probes: list[Probe]
    latents: Latents
    """The latents of all probes, float32 [rows, latent_dim]."""
    wanted: Images
    """The SavedModel's images, float32 [rows, height, width, channels] in [-1, 1]."""

    def kinds(self, allowed: Limits) -> Iterator[tuple[str, NDArray[np.intp], Tolerance]]:
        """Yield the ordinary and the extreme rows, each with their name and their limits."""
        extreme = np.concatenate([np.full(len(p.latents), p.extreme) for p in self.probes])
        yield "ordinary", np.flatnonzero(~extreme), allowed.ordinary
        yield "extreme", np.flatnonzero(extreme), allowed.extreme

    def at(self, rows: NDArray[np.intp]) -> str:
        """Return the name of the first of ``rows``, such as ``seeds[17]``."""
        return place(self.probes, int(rows[0]))
