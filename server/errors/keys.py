"""Errors of who asks: keys, roles, and the limits of a key."""

import math
from http import HTTPStatus
from typing import Any

from server.errors.base import ServingError


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


class KeyMissing(ServingError):
    """Only holders of keys may do this, and the request has none."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str = "there is no key") -> None:
        super().__init__(f"{detail}; wanted Authorization: Bearer <key> or X-API-Key: <key>")

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="carfront"'}


class KeyUnknown(KeyMissing):
    """The request has a key that nobody has been given, or not any more."""

    def __init__(self) -> None:
        super().__init__("the key is unknown")

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="carfront", error="invalid_token"'}


class NotAdministrator(ServingError):
    """Only administrators may do this, and the key is no administrator's."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, name: str) -> None:
        super().__init__(f"the key {name!r} is a user's; wanted one with the role admin")


class RateExceeded(ServingError):
    """The key has drawn as many images as it may for now."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    limit = "rate"

    def __init__(
        self, name: str, images: int, images_per_s: float, burst: int, wait_s: float
    ) -> None:
        super().__init__(
            f"the key {name!r} may draw {images_per_s:.12g} images a second, and {burst} at once "
            f"after a pause; {images} more may be drawn in {wait_s:.1f} s"
        )
        self.wait_s = wait_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.wait_s)))}

    def facts(self) -> dict[str, Any]:
        return {"violated-policies": ["images"], "retry_after_s": round(self.wait_s, 3)}


class TooManyInFlight(ServingError):
    """The key has as many images in flight as it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    limit = "in_flight"

    def __init__(self, name: str, images: int, in_flight: int, most: int) -> None:
        super().__init__(
            f"the key {name!r} has {in_flight} images in flight, of {most} that it may have; "
            f"{images} more may be asked for when these are drawn"
        )

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}

    def facts(self) -> dict[str, Any]:
        return {"violated-policies": ["in-flight"]}
