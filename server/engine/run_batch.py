"""One batch: the seeds of many requests become latents, then images where each one's worker reads.

The latents of all of them are made together: alone, each would cost four times as much.
"""

import logging
from collections.abc import Sequence

from server.bundle.latents import latents
from server.engine.batcher import Job, Slice
from server.engine.models import Run, ServedModel
from server.engine.worker_connections import WorkerConnection
from server.ipc.arena import Arena
from server.ipc.messages import Status, Submit

log = logging.getLogger(__name__)


class Request:
    """A job's owner: whose it is, where its images are to lie, and how it ends."""

    __slots__ = (
        "arena", "connection", "images", "infer_s", "offset", "request_id", "seed", "served",
        "verdict",
    )  # fmt: skip

    def __init__(
        self, connection: WorkerConnection, arena: Arena, submit: Submit, served: ServedModel
    ) -> None:
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
        """Note that rows of it run: its worker can tell, should this process die meanwhile."""
        self.connection.running += 1
        self.arena.mark(self.offset, runs=True)

    def ran(self, others_run: bool) -> None:
        """Note that rows of it have run, and whether others of it still do."""
        self.arena.mark(self.offset, runs=others_run)
        self.connection.ran()


def draw(slices: Sequence[Slice], latent_dim: int, run: Run) -> list[Job]:
    """Run ``slices`` as one batch; return the jobs that failed, which ran again alone."""
    try:
        _draw(slices, latent_dim, run)
    except Exception:
        rows = sum(part.rows for part in slices)
        log.exception("a batch of %d rows failed; each request runs again alone", rows)
        return [part.job for part in slices if not _succeeds_alone(part, latent_dim, run)]
    return []


def _draw(slices: Sequence[Slice], latent_dim: int, run: Run) -> None:
    seeds: list[int] = []
    for part in slices:
        seed = part.job.owner.seed + part.start
        seeds.extend(range(seed, seed + part.rows))
    images = run(latents(seeds, latent_dim))
    start = 0
    for part in slices:
        own = images[start : start + part.rows]
        part.job.owner.images[part.start : part.start + part.rows] = own
        start += part.rows


def _succeeds_alone(part: Slice, latent_dim: int, run: Run) -> bool:
    try:
        _draw([part], latent_dim, run)
    except Exception:
        log.exception("request %d failed alone", part.job.owner.request_id)
        return False
    return True
