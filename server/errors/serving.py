"""Errors of a request that could be served, but is not: not now, not in time, not at all."""

import math
from http import HTTPStatus
from typing import Any

from server.errors.base import ServingError
from server.queue_state import QueueState


class TooManyCalls(ServingError):
    """As many calls are answered as may be at a time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} calls are being answered, which is the limit; retry in 1 s")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class ServerEnding(ServingError):
    """The process that was called ends, and takes no more calls."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("this server is ending; connect to another, or retry in 1 s")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class QueueFull(ServingError):
    """The queue holds as much as can be served in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, queue: QueueState) -> None:
        about = f"about {queue.wait_s:.1f} s"
        takes = (
            f"which takes {about}; retry in {queue.retry_after_s:.1f} s"
            if queue.waiting_rows
            else f"but the wanted ones take {about}; allow more time, or ask for fewer"
        )
        super().__init__(
            f"{queue.waiting_rows} images are waiting (limit {queue.limit_rows}), {takes}"
        )
        self.queue = queue

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.queue.retry_after_s)))}

    def facts(self) -> dict[str, Any]:
        return {
            "queue_rows": self.queue.waiting_rows,
            "limit": self.queue.limit_rows,
            "estimated_wait_s": round(self.queue.wait_s, 3),
            "retry_after_s": round(self.queue.retry_after_s, 3),
        }


class EngineUnavailable(ServingError):
    """No engine answers: it starts, restarts or stops."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str = "the engine is not ready; retry in 1 s") -> None:
        super().__init__(detail)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class DeadlineExceeded(ServingError):
    """The answer would have come after the request's deadline."""

    status = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"not done within {timeout_s:g} s, so the images were not computed")


class ClientGone(ServingError):
    """The caller hung up while it waited; the rest of its images is not computed."""

    status = 499  # nginx logs this status for it; no caller reads it

    def __init__(self) -> None:
        super().__init__("the caller hung up")


class InferenceFailed(ServingError):
    """The runtime raised an error on this request; the server's log has it."""

    def __init__(self) -> None:
        super().__init__("the model failed on this request; the server's log says why")
