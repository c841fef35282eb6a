"""The run of one batch: seeds of many requests become latents, then images in their arenas.

The latents of all requests of a batch are made together: one by one they cost four times as much.
"""

import logging
from collections.abc import Sequence

from server.bundle.latents import latents
from server.engine.batcher import QueuedRequest, Slice
from server.engine.models import Run, ServedModel
from server.engine.worker_connections import WorkerConnection
from server.ipc.arena import Arena
from server.ipc.messages import Status, Submit

log = logging.getLogger(__name__)


class EngineRequest(QueuedRequest):
    """A queued request with its worker's connection, the place of its images, and its outcome."""

    __slots__ = (
        "arena", "connection", "images", "infer_s", "offset", "request_id", "seed", "served",
        "verdict",
    )  # fmt: skip

    def __init__(
        self, connection: WorkerConnection, arena: Arena, submit: Submit, served: ServedModel
    ) -> None:
        super().__init__(submit.rows, submit.deadline, submit.bulk)
        self.connection = connection
        self.request_id = submit.request_id
        self.served = served
        self.seed = submit.seed
        self.arena = arena
        self.offset = submit.offset
        self.images = arena.images(served.shape, submit.offset, submit.rows)
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
    slices: Sequence[Slice[EngineRequest]], latent_dim: int, run: Run
) -> list[EngineRequest]:
    """Run ``slices`` as one batch, and each alone if that fails; return those that failed alone."""
    try:
        _run(slices, latent_dim, run)
    except Exception:
        rows = sum(part.rows for part in slices)
        log.exception("a batch of %d rows failed; each request runs again alone", rows)
        return [part.request for part in slices if not _succeeds_alone(part, latent_dim, run)]
    return []


def _run(slices: Sequence[Slice[EngineRequest]], latent_dim: int, run: Run) -> None:
    seeds: list[int] = []
    for part in slices:
        seed = part.request.seed + part.start
        seeds.extend(range(seed, seed + part.rows))
    images = run(latents(seeds, latent_dim))
    start = 0
    for part in slices:
        own = images[start : start + part.rows]
        part.request.images[part.start : part.start + part.rows] = own
        start += part.rows


def _succeeds_alone(part: Slice[EngineRequest], latent_dim: int, run: Run) -> bool:
    try:
        _run([part], latent_dim, run)
    except Exception:
        log.exception("request %d failed alone", part.request.request_id)
        return False
    return True
