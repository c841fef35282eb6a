"""The errors by which a request ends that an engine did not draw."""

from server.errors import ClientGone, DeadlineExceeded, InferenceFailed, QueueFull, ServingError
from server.ipc.messages import Result, Status
from server.observability import metrics


def raise_for(result: Result, timeout_s: float) -> None:
    """Raise the error that ``result`` stands for, if it does.

    Raises:
        QueueFull, DeadlineExceeded, ClientGone, InferenceFailed: as the engine has said.
    """
    error: ServingError | None = None
    if result.status == Status.FULL:
        error = counted(QueueFull(result.queue))
    elif result.status == Status.EXPIRED:
        error = DeadlineExceeded(timeout_s)
    elif result.status == Status.CANCELLED:
        error = ClientGone()
    elif result.status == Status.FAILED:
        error = InferenceFailed()
    if error:
        raise error


def counted(full: QueueFull) -> QueueFull:
    """Return ``full``, which the metrics have counted."""
    metrics.REJECTED.labels("queue_full").inc()
    return full
