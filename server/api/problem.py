"""The rendering of errors: our own, and those that Flask raises by itself."""

import logging
import re
from http import HTTPStatus

from flask import Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from server.error_document import Fields, error_document
from server.errors import ServingError

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
    return _response(of_serving_error(error, request.path))


def from_http_exception(error: HTTPException) -> Response:
    """Render what Flask raises by itself: unknown paths, wrong methods, too large bodies, bugs."""
    if isinstance(error, InternalServerError):
        log.error("unhandled error", exc_info=error.original_exception)
    status = error.code or 500
    headers = [x for x in error.get_headers() if x[0].lower() in ("allow", "retry-after")]
    detail = error.description or HTTPStatus(status).phrase
    return _response(error_document(status, request.path, detail, headers=headers))


def _response(document: tuple[str, Fields, bytes]) -> Response:
    status, fields, body = document
    return Response(body, status, headers=fields)
