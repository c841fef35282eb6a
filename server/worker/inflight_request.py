"""One request of an HTTP worker that is on its way to the engines."""

import numpy as np
from numpy.typing import NDArray

from server.bundle.classes import EACH
from server.ipc.messages import Submit
from server.ipc.sources import Source
from server.worker.engine_balancer import Backend
from server.worker.event_loop import Waiter
from server.worker.request_terms import RequestTerms

HUNG_UP = object()
"""The value that wakes a request whose caller is gone."""


class InflightRequest:
    """One request on its way; its slot stays taken until the engine can no longer write to it."""

    __slots__ = (
        "abandoned", "accepted", "backend", "class_id", "deadline", "lost", "model", "offset",
        "request_id", "rows", "source", "terms", "tried", "waiter",
    )  # fmt: skip

    def __init__(
        self,
        request_id: int,
        model: int,
        source: Source,
        offset: int,
        deadline: float,
        terms: RequestTerms,
        waiter: Waiter,
        classes: int | NDArray[np.int32],
    ) -> None:
        self.request_id = request_id
        self.model = model
        self.source = source
        self.rows = source.n
        self.offset = offset
        self.deadline = deadline
        self.terms = terms
        self.waiter = waiter
        self.class_id = classes if isinstance(classes, int) else EACH
        self.backend: Backend | None = None
        """The engine that has the request; None while there is none."""
        self.tried: tuple[Backend, ...] = ()
        """The engines that have refused the request."""
        self.lost = 0
        """How many engines have died while they ran the request."""
        self.accepted = False
        """Whether an engine has had the request: the next one does not refuse it."""
        self.abandoned = False
        """Whether nobody waits for the request any more."""

    def submit(self) -> Submit:
        """Return the message that asks an engine for the request's images."""
        source = self.source
        return Submit(
            self.request_id,
            self.model,
            source.seed,
            self.offset,
            self.rows,
            self.deadline,
            self.terms.bulk,
            self.accepted,
            source.kind,
            source.truncation,
            self.class_id,
        )
