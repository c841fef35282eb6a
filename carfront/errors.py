"""The errors of the client, with the server's own sentences.

::

    CarfrontError
    ├── ServerError          the server answered, and refused
    │   ├── BadRequest       400 and its like: a value cannot be served
    │   ├── AccessDenied     401, 403: the key is missing, unknown, or may not do this
    │   ├── NotFound         404: there is no such model or version
    │   ├── RateLimited      429: the key has drawn as much as it may for now
    │   ├── Unavailable      502, 503: the server is full, starting or stopping
    │   └── TooLate          504: the answer would have come after the deadline
    ├── Unreachable          no server answers there, or the connection broke
    ├── BadAnswer            the answer is not what was asked for
    ├── DataSetError         a data set cannot be written or read as it was asked for
    │   └── BadArgument      the command was called with something it does not know
    └── Different            a data set holds images that are drawn otherwise now
"""

from typing import Any


class CarfrontError(Exception):
    """The base of all errors of the client; the message is one sentence for people."""

    exit_status = 1
    """The exit status of a command that ends with the error."""
    retry_after_s: float | None = None
    """The seconds after which the server wants to be asked again; None if it named none."""


class ServerError(CarfrontError):
    """The server answered with an error; the message is the server's sentence."""

    exit_status = 1

    def __init__(self, status: int, detail: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem or {}
        """The members of the server's problem document (RFC 9457), ``field`` among them."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes the error anew."""
        return type(self), (self.status, str(self), self.problem)


class BadRequest(ServerError):
    """A value cannot be served; ``problem["field"]`` names it."""

    exit_status = 3


class AccessDenied(ServerError):
    """The key is missing, unknown, or may not do this."""

    exit_status = 3


class NotFound(ServerError):
    """There is no such model or version."""

    exit_status = 3


class RateLimited(ServerError):
    """The key has drawn as much as it may for now."""

    exit_status = 4


class Unavailable(ServerError):
    """The server is full, starting or stopping."""

    exit_status = 4


class TooLate(ServerError):
    """The answer would have come after the deadline, so nothing was computed."""

    exit_status = 4


class Unreachable(CarfrontError):
    """No server answers there, or the connection broke before the answer was whole."""

    exit_status = 4


class BadAnswer(CarfrontError):
    """The answer is not what was asked for: another program may listen there."""

    exit_status = 4


class DataSetError(CarfrontError):
    """A data set cannot be written or read as it was asked for."""


class BadArgument(DataSetError):
    """The command was called with something it does not know."""

    exit_status = 2


class Different(CarfrontError):
    """A data set holds something other than its index says, or than is drawn now."""

    exit_status = 5


RETRIED = (RateLimited, Unavailable, Unreachable, BadAnswer)
"""The errors after which a request is sent again. That is safe, as drawing changes nothing."""


def error_of(status: int, detail: str, problem: dict[str, Any] | None = None) -> ServerError:
    """Return the error that an answer of ``status`` is, which is 400 or more."""
    kinds = {
        401: AccessDenied,
        403: AccessDenied,
        404: NotFound,
        429: RateLimited,
        502: Unavailable,
    }
    kinds |= {503: Unavailable, 504: TooLate}
    usual = BadRequest if status < 500 else ServerError
    return kinds.get(status, usual)(status, detail, problem)
