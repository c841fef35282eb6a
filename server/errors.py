"""The errors that a caller can get, each with its HTTP status.

::

    ServingError                500
    ├── ProtocolError           400  or another status: the request is none of HTTP that is read
    ├── InvalidRequest          400  a field has a value that cannot be served
    │   └── UnsupportedMedia    415  the body has a form that is not read
    ├── NotAuthorized           401  only administrators may do this
    ├── NoAdministrators        403  nobody may do this, as the server has no administrators
    ├── ModelNotFound           404  the repository has no such model or version
    ├── ModelUnavailable        503  the repository has the model, but it is not served
    ├── LoadFailed              400  a model cannot be loaded or unloaded
    ├── UnsupportedFormat       406  the caller accepts none of our formats
    ├── QueueFull               503  the queue holds as much as can be served in time
    ├── EngineUnavailable       503  no engine answers: starting, restarting or stopping
    ├── DeadlineExceeded        504  the answer would have come too late
    ├── ClientGone              499  nobody waits for the answer any more
    └── InferenceFailed         500  the runtime raised on this request
"""

import math
import re
import reprlib
from http import HTTPStatus
from typing import Any

from server.queue_state import QueueState


class ServingError(Exception):
    """The base of all errors that end a request without its images."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that go with the error."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return the error's facts for programs: the problem's members beside RFC 9457's own."""
        return {}


ERROR = "carfront.error"
"""The key in a WSGI environment of an error that the request has met, still to be rendered."""


class ProtocolError(ServingError):
    """The request is not one of HTTP that is read here."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)


class InvalidRequest(ServingError):
    """A field has a value that cannot be served."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, field: str, value: object, wanted: str) -> None:
        super().__init__(f"{field} is {shown(value)}; wanted {wanted}")
        self.field = field

    def facts(self) -> dict[str, Any]:
        return {"field": self.field}


class UnsupportedMedia(InvalidRequest):
    """The body has a form that is not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self, field: str, value: object, wanted: str) -> None:
        super().__init__(field, value, wanted)
        self._wanted = wanted

    def headers(self) -> dict[str, str]:
        name = "Accept" if self.field == "Content-Type" else "Accept-Encoding"
        return {name: self._wanted}


class NotAuthorized(ServingError):
    """Only administrators may do this, and the request has no administrator's token."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self) -> None:
        super().__init__("wanted is the header Authorization: Bearer <CARFRONT_ADMIN_TOKEN>")

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class NoAdministrators(ServingError):
    """Nobody may do this, as the server has no administrators."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("this server has no administrators: CARFRONT_ADMIN_TOKEN is not set")


class ModelNotFound(ServingError):
    """The repository has no such model or version."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, name: str, served: list[str]) -> None:
        super().__init__(f"there is no model {shown(name)}; served are {', '.join(served)}")


class ModelUnavailable(ServingError):
    """The repository has the model, but it is not served."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, name: str, state: str, reason: str) -> None:
        why = f": {without_paths(reason)}" if reason else ""
        super().__init__(f"model {name} is {state.lower()}{why}")


class LoadFailed(ServingError):
    """A model cannot be loaded or unloaded."""

    status = HTTPStatus.BAD_REQUEST


class QueueFull(ServingError):
    """The queue holds as much as can be served in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, queue: QueueState) -> None:
        takes = "which takes" if queue.waiting_rows else "but the wanted ones take"
        super().__init__(
            f"{queue.waiting_rows} images are waiting (limit {queue.limit_rows}), {takes} about "
            f"{queue.wait_s:.1f} s; retry in {queue.retry_after_s:.1f} s"
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


def shown(value: object) -> str:
    """Return ``value`` as a caller may see it again: quoted, short, and not deep.

    ``repr`` would raise on lists that are nested nearly as deeply as they can be read.
    """
    text = _short.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def without_paths(text: str) -> str:
    """Return ``text`` with the last name alone of each absolute path: callers need no more."""
    return _absolute_path(r"\1", text)


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_absolute_path = re.compile(r"(?<![\w./-])/(?:[^/\s'\"]+/)*([^/\s'\"]+)").sub
