"""Errors as callers see them, in the form of the protocol that they speak.

An error of an inference protocol is ``{"error": "..."}``, any other application/problem+json.
Source: the Open Inference Protocol v2; TensorFlow Serving's RESTful API; RFC 9457.
"""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

PROBLEM = "application/problem+json"
INFERENCE_PROTOCOLS = re.compile(
    r"/v2(/.*)?|/v1/models/[^/]+(/(versions|labels)/[^/]+)?(/metadata)?", re.DOTALL
).fullmatch
"""The match of a path of an inference protocol: errors have the protocol's form there."""
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
    header that the caller of this function adds. No cache may keep an error: some would.
    """
    phrase = PHRASES.get(status, "Unknown")
    is_plain = INFERENCE_PROTOCOLS(path) is not None
    if is_plain:
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
    mimetype = "application/json" if is_plain else PROBLEM
    fields = [
        ("Content-Type", mimetype),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *headers,
    ]
    return f"{status} {phrase}", fields, body
