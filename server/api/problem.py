"""The rendering of errors: our own, and those that Flask raises by itself."""

import logging
import re
from http import HTTPStatus

from flask import Response, request
from werkzeug.exceptions import (
    BadHost,
    HTTPException,
    MethodNotAllowed,
    NotFound,
)

from server.error_document import Fields, error_document
from server.errors import InvalidRequest, ServingError

log = logging.getLogger(__name__)


def of_serving_error(error: ServingError, path: str) -> tuple[str, Fields, bytes]:
    """Return the status line, the header fields and the body that tell ``error`` of ``path``.

    An error that is the server's own fault is logged; the line carries the request's id.
    """
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s for %r: %s", type(error).__name__, path, error)
    return error_document(
        int(error.status),
        path,
        str(error),
        title=(type(error).__doc__ or "").strip().split("\n")[0].rstrip("."),
        kind=re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower(),
        facts=error.facts(),
        headers=error.headers().items(),
    )


def from_serving_error(error: ServingError) -> Response:
    """Render one of our own errors."""
    return _response(of_serving_error(error, _path()))


def from_http_exception(error: HTTPException) -> Response:
    """Render what Flask raises by itself: unknown paths, wrong methods, hosts that are none."""
    told = _told(error)
    allow = [x for x in error.get_headers() if x[0] == "Allow"]
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    return _response(error_document(status, _path(), str(told), facts=told.facts(), headers=allow))


def _told(error: HTTPException) -> InvalidRequest:
    """Return what Flask refuses in our own words."""
    if isinstance(error, NotFound):
        return InvalidRequest("path", _path(), "one of those that GET / lists")
    if isinstance(error, MethodNotAllowed):
        methods = " or ".join(sorted(error.valid_methods or ()))
        return InvalidRequest("method", request.method, methods)
    if isinstance(error, BadHost):
        return InvalidRequest("Host", request.headers.get("Host"), "the name of a host")
    return InvalidRequest("request", error.name, "one that HTTP allows")


def _path() -> str:
    """Return the path as it was sent: Flask's has lost slashes."""
    path: str = request.environ["PATH_INFO"]
    return path.encode("latin-1").decode(errors="replace")


def _response(document: tuple[str, Fields, bytes]) -> Response:
    status, fields, body = document
    return Response(body, status, headers=fields)
