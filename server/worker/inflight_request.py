"""One request of an HTTP worker that is on its way to the engines."""

from server.ipc.messages import Source, Submit
from server.worker.engine_balancer import Backend
from server.worker.event_loop import Waiter
from server.worker.request_terms import RequestTerms

HUNG_UP = object()
"""The value that wakes a request whose caller is gone."""


class InflightRequest:
    """One request on its way; its slot stays taken until the engine can no longer write to it."""

    __slots__ = (
        "abandoned", "accepted", "backend", "deadline", "lost", "model", "offset", "request_id",
        "rows", "source", "terms", "tried", "waiter",
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
    ) -> None:
        self.request_id = request_id
        self.model = model
        self.source = source
        self.rows = source.n
        self.offset = offset
        self.deadline = deadline
        self.terms = terms
        self.waiter = waiter
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
        return Submit(
            self.request_id,
            self.model,
            self.source.seed,
            self.offset,
            self.rows,
            self.deadline,
            self.terms.bulk,
            self.accepted,
        )
