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


def from_serving_error(error: ServingError) -> Response:
    """Render one of our own errors."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    title = (type(error).__doc__ or "").strip().split("\n")[0].rstrip(".")
    response = problem(kind, title, error.status, str(error), error.facts())
    response.headers.update(error.headers())
    return response


def from_http_exception(error: HTTPException) -> Response:
    """Render what Flask raises by itself: unknown paths, wrong methods, too large bodies, bugs."""
    if isinstance(error, InternalServerError):
        log.error("unhandled error", exc_info=error.original_exception)
    status = HTTPStatus(error.code or 500)
    kind = status.phrase.lower().replace(" ", "-")
    response = problem(kind, status.phrase, status, error.description or status.phrase, {})
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def problem(kind: str, title: str, status: int, detail: str, facts: dict[str, Any]) -> Response:
    """Return a problem document; ``facts`` are members beside the standard ones."""
    body = {
        "type": f"urn:carfront:problem:{kind}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": request.path,
        **facts,
    }
    text = json.dumps(body) + "\n"
    return Response(text, status, mimetype="application/problem+json")
