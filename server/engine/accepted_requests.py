"""The requests that an engine has accepted from its HTTP workers, until each is answered."""

from collections.abc import Callable
from typing import Protocol

from server.engine.models import Models
from server.engine.run_batch import EngineRequest
from server.engine.worker_connections import WorkerConnection
from server.errors import QueueFull
from server.ipc.arena import Arena
from server.ipc.messages import Cancel, Result, Status, Submit
from server.queue_state import QueueState


class Metrics(Protocol):
    """The metrics of requests."""

    def queue_delay(self, seconds: float) -> None: ...
    def dropped(self, reason: str, rows: int) -> None: ...


class AcceptedRequests:
    """Puts requests into the queues of ``models``, and answers each of them once.

    An answer waits in its worker's ``WorkerConnection`` until the connections send.
    """

    def __init__(self, models: Models, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._models = models
        self._metrics = metrics
        self._clock = clock
        self.queue_state = QueueState()
        """The state of the queue that answers carry."""

    def submit(self, connection: WorkerConnection, arena: Arena, submit: Submit) -> None:
        """Put a request into the queue of its model, or answer that it is refused."""
        served = self._models.get(submit.model)
        if served is None:
            stale = Result(submit.request_id, Status.STALE, 0.0, 0.0, 0, self.queue_state)
            connection.results.append(stale)
            return
        request = EngineRequest(connection, arena, submit, served)
        connection.requests[submit.request_id] = request
        try:
            served.batcher.add(request, submit.accepted)
        except QueueFull as full:
            self._answer(request, Status.FULL, full)

    def cancel(self, connection: WorkerConnection, cancel: Cancel) -> None:
        """Drop the waiting rows of a request that nobody waits for; running rows run in vain."""
        request = connection.requests.get(cancel.request_id)
        if request is not None and not request.gone:
            late = request.deadline <= self._clock()
            self._drop(request, "deadline" if late else "client_gone")
            self.end(request, Status.CANCELLED)

    def forget(self, connection: WorkerConnection) -> None:
        """Drop the rows of a worker that is gone, and of no other worker."""
        for request in connection.requests.values():
            if not request.gone:
                self._drop(request, "worker_gone")
        connection.requests.clear()

    def expire(self, request: EngineRequest) -> None:
        """End a request whose deadline passed before its last row could run."""
        self._metrics.dropped("deadline", request.left)
        self.end(request, Status.EXPIRED)

    def fail(self, request: EngineRequest) -> None:
        """End a request for which the runtime raised an error."""
        request.served.batcher.drop(request)
        self.end(request, Status.FAILED)

    def end_if_done(self, request: EngineRequest) -> None:
        """Answer a request of which rows have run, if it has no other rows to wait for."""
        if request.done == request.rows:
            self.end(request, Status.OK)
        elif request.verdict is not None:
            self.end(request, request.verdict)

    def end(self, request: EngineRequest, verdict: Status) -> None:
        """Answer a request once no other stream runs rows of it: the answer frees its slot."""
        if request.verdict is None:
            request.verdict = verdict
        if request.done == request.taken:
            self._answer(request, request.verdict)

    def _drop(self, request: EngineRequest, reason: str) -> None:
        self._metrics.dropped(reason, request.left)
        request.served.batcher.drop(request)

    def _answer(
        self, request: EngineRequest, status: Status, full: QueueFull | None = None
    ) -> None:
        if request.connection.requests.pop(request.request_id, None) is not request:
            return  # the request was answered already, or its worker is gone
        queue_s = max(0.0, request.started - request.arrived)
        if status is Status.OK:
            self._metrics.queue_delay(queue_s)
        state = full.queue if full else self.queue_state
        plan = request.served.plan_number
        result = Result(request.request_id, status, queue_s, request.infer_s, plan, state)
        request.connection.results.append(result)
