"""Errors of a request by itself: it cannot be read, or asks for what cannot be served."""

from http import HTTPStatus
from typing import Any

from server.errors.base import ServingError, shown


class ProtocolError(ServingError):
    """The request is not one of HTTP that is read here."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)


class BodiesFull(ProtocolError):
    """Large bodies hold all the memory that is for them."""

    def __init__(self, limit: int) -> None:
        told = f"the large bodies of others take the {limit} bytes that are for all; retry in 1 s"
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, told)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


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
        return {name: self._wanted.replace(" or ", ", ")}


class UnsupportedFormat(InvalidRequest):
    """The caller accepts none of our formats."""

    status = HTTPStatus.NOT_ACCEPTABLE


class UnknownSuffix(InvalidRequest):
    """A path ends as none of our formats does."""

    status = HTTPStatus.NOT_FOUND


class NotOffered(ServingError):
    """The interface has it, this server has not."""

    status = HTTPStatus.NOT_IMPLEMENTED


class ServiceNotFound(ServingError):
    """The server has no such service."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no service {shown(name)}")
