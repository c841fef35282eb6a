"""Errors as callers see them, in the form of the protocol that they speak.

Below ``/v2`` an error is ``{"error": "..."}``, elsewhere application/problem+json.
Source: the Open Inference Protocol v2; RFC 9457.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

PROBLEM = "application/problem+json"
INFERENCE_PROTOCOL = "/v2"
"""The path of the Open Inference Protocol: at it and below it, errors have the protocol's form."""
PHRASES = {status.value: status.phrase for status in HTTPStatus}
PHRASES |= {413: "Content Too Large", 414: "URI Too Long"}
"""The phrase of each status. Older Pythons call two of them otherwise than RFC 9110 does."""

Fields = list[tuple[str, str]]


def error_document(
    status: int,
    path: str,
    detail: str,
    *,
    title: str = "",
    kind: str = "",
    facts: Mapping[str, Any] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> tuple[str, Fields, bytes]:
    """Return the status line, the header fields and the body that tell a caller of an error.

    ``detail`` is one sentence that names what is amiss. ``path`` is that of the request, empty
    where it could not be read. ``title`` and ``kind`` are those of the error's class, by default
    the status's; ``facts`` are for programs, ``headers`` go with the error. The request's id is a
    header that the caller of this function adds.
    """
    phrase = PHRASES.get(status, "Unknown")
    below = path == INFERENCE_PROTOCOL or path.startswith(INFERENCE_PROTOCOL + "/")
    if below:
        document: dict[str, Any] = {"error": detail}
    else:
        document = {
            "type": f"urn:carfront:problem:{kind or phrase.lower().replace(' ', '-')}",
            "title": title or phrase,
            "status": status,
            "detail": detail,
            "instance": path,
            **(facts or {}),
        }
    body = json.dumps(document).encode() + b"\n"
    mimetype = "application/json" if below else PROBLEM
    fields = [("Content-Type", mimetype), ("Content-Length", str(len(body))), *headers]
    return f"{status} {phrase}", fields, body
