"""The run of one batch: rows of many requests become latents, then images in their arenas.

The latents of all seeds of a batch are made together: one by one they cost four times as much.
"""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.bundle.classes import EACH, OWN, classes_of
from server.bundle.latents import latents
from server.engine.batcher import QueuedRequest, Slice
from server.engine.models import Run, ServedModel
from server.engine.worker_connections import WorkerConnection
from server.ipc.arena import Arena, size_of_given
from server.ipc.messages import Status, Submit
from server.ipc.sources import LATENTS, SEED_RANGE, SEEDS, Latents, SeedRange, Seeds, Source

log = logging.getLogger(__name__)


class EngineRequest(QueuedRequest):
    """A queued request with its worker's connection, the place of its images, and its outcome."""

    __slots__ = (
        "arena", "class_id", "classes", "connection", "images", "infer_s", "offset", "request_id",
        "seed", "served", "source", "verdict",
    )  # fmt: skip

    def __init__(
        self, connection: WorkerConnection, arena: Arena, submit: Submit, served: ServedModel
    ) -> None:
        """Raise ValueError or OverflowError for a slot or a kind of rows that there is not."""
        if not submit.rows:
            raise ValueError("a request of no rows")
        super().__init__(submit.rows, submit.deadline, submit.bulk)
        self.connection = connection
        self.request_id = submit.request_id
        self.served = served
        self.seed = submit.seed
        self.class_id = submit.class_id
        self.arena = arena
        self.offset = submit.offset
        self.images = arena.images(served.shape, submit.offset, submit.rows)
        is_plain = submit.kind == SEED_RANGE and submit.truncation == 1.0
        self.source = None if is_plain else _source(arena, submit, served)
        """The origin of the rows; None where they are those of a range of seeds as they are."""
        self.classes = _classes_given(arena, submit, served, self.source)
        """The class of each row, int32 [rows]; None where the rows have not each one given."""
        self.infer_s = 0.0
        self.verdict: Status | None = None

    def begin(self) -> None:
        """Mark in the arena that rows of the request run, for its worker if this process dies."""
        self.connection.running += 1
        self.arena.mark(self.offset, runs=True)

    def ran(self, rows: int, seconds: float) -> None:
        """Note that ``rows`` rows of the request have run; others may still be running."""
        self.done += rows
        self.infer_s += seconds
        self.arena.mark(self.offset, runs=self.done < self.taken)
        self.connection.ran()


def run_batch(
    slices: Sequence[Slice[EngineRequest]], served: ServedModel, run: Run
) -> list[EngineRequest]:
    """Run ``slices`` as one batch, and each alone if that fails; return those that failed alone."""
    try:
        _run(slices, served, run)
    except Exception:
        rows = sum(part.rows for part in slices)
        log.exception("a batch of %d rows failed; each request runs again alone", rows)
        return [part.request for part in slices if not _succeeds_alone(part, served, run)]
    return []


def _source(arena: Arena, submit: Submit, served: ServedModel) -> Source:
    """Return the source that a request names, whose rows may lie in its slot."""
    offset = submit.offset + served.shape.size(submit.rows)
    if submit.kind == SEEDS:
        return Seeds(arena.given(np.uint64, (submit.rows,), offset), submit.truncation)
    if submit.kind == LATENTS:
        return Latents(arena.given(np.float32, (submit.rows, served.latent_dim), offset))
    if submit.kind != SEED_RANGE:
        raise ValueError(f"there are no rows of kind {submit.kind}")
    return SeedRange(submit.seed, submit.rows, submit.truncation)


def _classes_given(
    arena: Arena, submit: Submit, served: ServedModel, source: Source | None
) -> NDArray[np.int32] | None:
    """Return the classes that lie in a request's slot, behind what its source gives."""
    if submit.class_id != EACH:
        return None
    given = None if source is None else source.given
    offset = submit.offset + served.shape.size(submit.rows)
    offset += 0 if given is None else size_of_given(given)
    return arena.given(np.int32, (submit.rows,), offset)


def _run(slices: Sequence[Slice[EngineRequest]], served: ServedModel, run: Run) -> None:
    classes = [_classes(slices, served.class_count)] if served.class_count else ()
    images = run(_latents(slices, served), *classes)
    start = 0
    for part in slices:
        own = images[start : start + part.rows]
        part.request.images[part.start : part.start + part.rows] = own
        start += part.rows


def _latents(slices: Sequence[Slice[EngineRequest]], served: ServedModel) -> NDArray[np.float32]:
    """Return the latents of a batch, float32 [N, latent_dim]."""
    seeds: list[int] = []
    for part in slices:
        if part.request.source is not None:
            return _mixed_latents(slices, served)
        seed = part.request.seed + part.start
        seeds.extend(range(seed, seed + part.rows))
    return latents(seeds, served.latent_dim, served.distribution)


def _mixed_latents(
    slices: Sequence[Slice[EngineRequest]], served: ServedModel
) -> NDArray[np.float32]:
    """Return the latents of a batch in which not all rows are those of plain ranges of seeds."""
    seeds = [seed for part in slices for seed in _seeds(part)]
    made = latents(seeds, served.latent_dim, served.distribution)
    parts, start = [], 0
    for part in slices:
        source = part.request.source
        if isinstance(source, Latents):
            parts.append(source.rows[part.start : part.start + part.rows])
            continue
        own = made[start : start + part.rows]
        start += part.rows
        if source is not None and source.truncation != 1.0:
            own *= np.float32(source.truncation)
        parts.append(own)
    return np.concatenate(parts)


def _seeds(part: Slice[EngineRequest]) -> Sequence[int]:
    """Return the seeds of a part of a batch, none if its request gave latents."""
    source = part.request.source
    if isinstance(source, Latents):
        return ()
    if isinstance(source, Seeds):
        return source.given[part.start : part.start + part.rows].tolist()  # type: ignore[no-any-return]
    seed = part.request.seed + part.start
    return range(seed, seed + part.rows)


def _classes(slices: Sequence[Slice[EngineRequest]], count: int) -> NDArray[np.int64]:
    """Return the class of each row of a batch: its own, or its request's, or else its seed's.

    Latents have no seeds; the number of the row stands for one.
    """
    parts = []
    for part in slices:
        number, given = part.request.class_id, part.request.classes
        if given is not None:
            parts.append(given[part.start : part.start + part.rows].astype(np.int64))
        elif number == OWN:
            own = _seeds(part) or range(part.start, part.start + part.rows)
            parts.append(classes_of(own, count))
        else:
            parts.append(np.full(part.rows, number, np.int64))
    return np.concatenate(parts)


def _succeeds_alone(part: Slice[EngineRequest], served: ServedModel, run: Run) -> bool:
    try:
        _run([part], served, run)
    except Exception:
        log.exception("request %d failed alone", part.request.request_id)
        return False
    return True
