"""The same latents in batches of other sizes and beside others: they must give the same bits.

A runtime may add up in another order where a batch has few rows. If that is by rounding alone, and
in the smallest batches alone, a session that pads them gives the same bits in any batch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.differences import compare
from export.probes import Exam
from export.report import PlanParity
from export.rows import draw
from server.bundle.manifest_values import MOST_PADDED
from server.runtime.session import Session

SAMPLE = 8
"""One in so many rows of all latents is drawn in each other size, two batches at least."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """Bits that are others in another batch."""

    rows: int
    """The size of that batch; that of the largest where the latents stand beside others."""
    levels: int
    """The largest change, in grey levels."""
    text: str


def least_rows(changes: list[Change], parity: PlanParity, exam: Exam) -> int:
    """Return the rows to which padding makes bits the same in every batch; 1 where it does not.

    The bits of small batches may be others by rounding alone.
    """
    if not changes or not parity.limits.any_batch:
        return 1
    rounded = all(x.levels <= parity.limits.ordinary.levels for x in changes)
    largest = max(x.rows for x in changes)
    least = next((size for size in exam.other_sizes if size > largest), 0)
    return least if rounded and 1 < least <= MOST_PADDED else 1


def changes_of(
    session: Session, images: Bytes, exam: Exam, sizes: Iterable[int | None]
) -> Iterator[Change]:
    """Yield the change for each batch size of ``sizes`` that gives other bits.

    None stands for a batch in which the latents stand beside others.
    """
    count = max(2 * exam.other_sizes[-1], len(images) // SAMPLE)
    sample = np.arange(0, len(images), max(1, len(images) // count))
    for size in sizes:
        rows = sample if size else sample[::-1]
        every = size or exam.other_order
        rows = rows[: len(rows) // every * every]  # a rest would be a batch of another size
        again = run_in_batches(session, exam.latents[rows], every)
        changed = (again != images[rows]).reshape(len(rows), -1).any(axis=1)
        if changed.any():
            levels = compare(again[changed], images[rows[changed]]).levels
            what = f"in batches of {size}" if size else "beside other latents"
            first = exam.at(np.sort(rows[changed]))
            text = f"{changed.sum()} images change {what}, by {levels} grey level(s) at most"
            yield Change(size or len(images), levels, f"{text}, first at {first}")


def run_in_batches(session: Session, latents: Floats, size: int) -> Bytes:
    """Return the images of ``latents``, drawn ``size`` at a time."""
    starts = range(0, len(latents), size)
    return np.concatenate([draw(session, latents[i : i + size]) for i in starts])
