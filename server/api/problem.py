"""Errors as callers see them: application/problem+json. Source: RFC 9457."""

import json
import logging
import re
from http import HTTPStatus
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from server.errors import ServingError

log = logging.getLogger(__name__)

MIMETYPE = "application/problem+json"

Fields = list[tuple[str, str]]


def of_serving_error(error: ServingError, path: str) -> tuple[Fields, bytes]:
    """Return the header fields and the body that tell ``error`` to the caller of ``path``.

    An error that is the server's own fault is logged.
    """
    log_fault(error, path)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    title = (type(error).__doc__ or "").strip().split("\n")[0].rstrip(".")
    body = _document(kind, title, error.status, str(error), path, error.facts())
    length = ("Content-Length", str(len(body)))
    return [("Content-Type", MIMETYPE), length, *error.headers().items()], body


def log_fault(error: ServingError, path: str) -> None:
    """Log an error that is the server's own fault; the line carries the request's id."""
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s for %r: %s", type(error).__name__, path, error)


def from_serving_error(error: ServingError) -> Response:
    """Render one of our own errors."""
    fields, body = of_serving_error(error, request.path)
    return Response(body, error.status, headers=fields)


def from_http_exception(error: HTTPException) -> Response:
    """Render what Flask raises by itself: unknown paths, wrong methods, too large bodies, bugs."""
    if isinstance(error, InternalServerError):
        log.error("unhandled error", exc_info=error.original_exception)
    status = HTTPStatus(error.code or 500)
    kind = status.phrase.lower().replace(" ", "-")
    detail = error.description or status.phrase
    body = _document(kind, status.phrase, status, detail, request.path, {})
    response = Response(body, status, mimetype=MIMETYPE)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _document(
    kind: str, title: str, status: int, detail: str, path: str, facts: dict[str, Any]
) -> bytes:
    """Return a problem document; ``facts`` are members beside the standard ones."""
    body = {
        "type": f"urn:carfront:problem:{kind}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": path,
        **facts,
    }
    return json.dumps(body).encode() + b"\n"
