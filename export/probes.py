"""The latents on which parity is measured: those of seeds, and some that no seed ever gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from export.rows import RowFacts, Rows
from export.tolerances import Limits, Tolerance, limits
from server.bundle.latents import latents
from server.runtime.plans import Plan
from server.runtime.session import most_rows

Images = NDArray[np.float32]

GOLDEN_SEEDS = [0, 1, 2, 3, 7, 42, 99, 1234, 65535, 999_999]
GOLDEN_SEEDS += [2**31 - 1, 2**32, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1]
"""The seeds of the golden images: both ends of the range among them, and the numbers at which a
32-bit or a float64 seed would go wrong."""
ROWS, LEAST_ROWS = 4096, 256
"""The number of latents, and the least for large images; what other kinds leave are of seeds."""
VALUES = 2**26
"""The values of all images beyond which there are fewer latents: 256 MiB in float32."""
LEAST_SEEDS = 128
"""The number of seeds that a bundle shows beside the golden ones: those of the samples."""
GOLDEN_CLASSES = 64
"""The classes that have a golden image, at most: they are drawn before a server serves."""
LARGEST = 8.572
"""The largest value in the normal latents of any seed, sqrt(-2 ln 2**-53)."""
BATCH_SIZE = 64
"""The batch size in which the images that are compared with TensorFlow's are drawn; large images
are drawn in as many rows as a server draws."""
OTHER_SIZES = (1, 2, 3, 5, 7, 8, 13, 16, 17, 29, 31, 32, 33, 47, 63, 65)
"""The other batch sizes, in which the same latents have to give the same bits: up to twice as many
rows as a server draws."""
OTHER_ORDER = 7
"""The batch size in which the same latents stand beside others."""
DENORMAL = 1e-40
"""A float32 below the normal range, which a processor may flush to zero."""


@dataclass(frozen=True)
class Probe:
    """Latents of one kind, float32 [rows, latent_dim], with their classes if there are any."""

    name: str
    latents: Rows
    """The latents, with the class as one value more in those of a conditional generator."""
    extreme: bool
    """Whether no seed gives such latents: their sums are larger, and so are rounding errors."""
    class_count: int = 0
    """The number of the generator's classes; 0 of an unconditional one."""


def rows_for(image_shape: Sequence[int]) -> int:
    """Return the number of latents for images of a shape: as many as ``VALUES`` allows."""
    return max(LEAST_ROWS, min(ROWS, VALUES // prod(image_shape)))


def golden_seeds(class_count: int = 0) -> list[int]:
    """Return the seeds of the golden images: each of the first classes is one's own."""
    shown = {seed % class_count for seed in GOLDEN_SEEDS} if class_count else set()
    return GOLDEN_SEEDS + [x for x in range(min(class_count, GOLDEN_CLASSES)) if x not in shown]


def make_probes(
    latent_dim: int, rows: int = ROWS, distribution: str = "normal", class_count: int = 0
) -> list[Probe]:
    """Return every kind of latents, ordinary ones first, ``rows`` or ``LEAST_ROWS`` in all.

    Latents of seeds have the ``distribution``. With ``class_count``, seeds have classes of their
    own, and other latents have the classes in turn.

    The first rows are the latents of the golden seeds, the next those of seed 0, 1, 2, ...
    """
    facts = RowFacts(latent_dim, distribution, class_count)
    rows = max(rows, LEAST_ROWS)
    one_hot = np.eye(latent_dim, dtype=np.float32)
    ones = np.ones((1, latent_dim), np.float32)
    signs = np.where(np.arange(latent_dim) % 2, -1, 1).astype(np.float32)[None]
    flat = np.concatenate([ones, -ones, signs])
    some = one_hot[:: max(1, latent_dim // 8)]
    fifth = latents([5], latent_dim, distribution)
    others = [
        _probe(facts, "repeated", np.repeat(fifth, 9, axis=0), alike=True),
        _probe(facts, "zeros", np.zeros((2, latent_dim), np.float32), alike=True),
        _probe(facts, "denormal", np.float32(DENORMAL) * flat),
        _probe(facts, "one-hot", one_hot[:: -(-latent_dim // (rows // 8))]),
        *_extremes(facts, flat, some),
    ]
    golden = golden_seeds(class_count)
    count = max(LEAST_SEEDS, rows - sum(len(probe.latents) for probe in others) - len(golden))
    seeds = facts.of(golden + list(range(count)))
    return [Probe("seeds", seeds, extreme=False, class_count=class_count), *others]


def _probe(
    facts: RowFacts, name: str, drawn: Rows, extreme: bool = False, alike: bool = False
) -> Probe:
    """Return the latents ``drawn`` as a probe, with the classes in turn, or all of class 0."""
    classes = np.arange(len(drawn)) % (1 if alike else facts.class_count or 1)
    return Probe(name, facts.with_classes(drawn, classes), extreme, facts.class_count)


def _extremes(facts: RowFacts, flat: Rows, some: Rows) -> list[Probe]:
    """Return what is beyond the reach of the seeds, or at its end: uniform latents end at 1."""
    if facts.distribution == "uniform":
        return [_probe(facts, "corners", np.concatenate([flat, some, -some]), extreme=True)]
    largest = np.float32(LARGEST) * np.concatenate([some, -some])
    return [
        _probe(facts, "five sigma", 5 * np.concatenate([flat, some, -some]), extreme=True),
        _probe(facts, "largest", largest, extreme=True),
    ]


def place(probes: list[Probe], row: int) -> str:
    """Return the name of ``row`` of all probes laid end to end, such as ``seeds[17]``."""
    for probe in probes:
        if row < len(probe.latents):
            return f"{probe.name}[{row}]"
        row -= len(probe.latents)
    raise IndexError(row)


def kinds(probes: list[Probe]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield "ordinary" and "extreme", each with its rows of all probes laid end to end."""
    extreme = np.concatenate([np.full(len(p.latents), p.extreme) for p in probes])
    yield "ordinary", np.flatnonzero(~extreme)
    yield "extreme", np.flatnonzero(extreme)


@dataclass(frozen=True)
class Exam:
    """The latents of every probe, and the SavedModel's images of them."""

    probes: list[Probe]
    latents: Rows
    """The latents of all probes, with their classes if there are any."""
    wanted: Images
    """The SavedModel's images, float32 [rows, height, width, channels] in [-1, 1]."""
    rounding: Mapping[str, float] | None = None
    """The rounding of the network by kind of latents, see ``export.rounding``."""

    @property
    def batch_size(self) -> int:
        """Return the rows of a batch, ``BATCH_SIZE`` for images that are not large."""
        return min(BATCH_SIZE, most_rows(self.wanted.shape[1:]))

    @property
    def other_sizes(self) -> list[int]:
        """Return those of ``OTHER_SIZES`` that images of this size are drawn in."""
        most = 2 * most_rows(self.wanted.shape[1:])
        return [size for size in OTHER_SIZES if size <= most and size != self.batch_size]

    @property
    def other_order(self) -> int:
        """Return the rows of a batch in which the same latents stand beside others."""
        return min(OTHER_ORDER, self.other_sizes[-1])

    def limits(self, plan: Plan) -> Limits:
        """Return the limits of ``plan`` for this network."""
        return limits(plan, self.rounding)

    def kinds(self, allowed: Limits) -> Iterator[tuple[str, NDArray[np.intp], Tolerance]]:
        """Yield the ordinary and the extreme rows, each with their name and their limits."""
        for kind, rows in kinds(self.probes):
            yield kind, rows, allowed.of(kind)

    def at(self, rows: NDArray[np.intp] | list[int]) -> str:
        """Return the name of the first of ``rows``, such as ``seeds[17]``."""
        return place(self.probes, int(rows[0]))
