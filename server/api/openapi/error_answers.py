"""The answers that are errors, as ``server.errors`` has them."""

from collections.abc import Iterable

from server.api.openapi.operation import Json
from server.error_document import PHRASES, PROBLEM
from server.errors import ServingError

OF_HTTP = (400, 408, 413, 414, 417, 431, 501, 505)
"""The statuses of requests that are none of HTTP which is read here, of any route."""
NO_HTTP = "The request is none of HTTP that is read here"
FIELDS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
"""The header fields that errors of a status have."""
SCHEMAS: dict[str, Json] = {
    "Problem": {
        "description": "An error, as RFC 9457 has it. Members beside these are facts for programs.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": {"type": "string", "description": "A name of the kind of error."},
            "title": {"type": "string", "description": "The kind of error in words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {
                "type": "string",
                "description": "One sentence that names the field, its value and what was wanted.",
            },
            "instance": {"type": "string", "description": "The path of the request."},
            "field": {"type": "string", "description": "The field at fault."},
            "queue_rows": {"type": "integer", "description": "The images that wait."},
            "limit": {"type": "integer", "description": "The images that may wait."},
            "estimated_wait_s": {"type": "number"},
            "retry_after_s": {"type": "number"},
            "violated-policies": {"type": "array", "items": {"type": "string"}},
        },
    },
    "Error": {
        "description": "An error, as inference protocols have it.",
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "minLength": 1}},
        "additionalProperties": False,
    },
}


def components() -> dict[str, Json]:
    """Return OpenAPI's response objects of every route's errors, by their names."""
    return {
        f"{schema}-{status}": _answer(status, [NO_HTTP], schema)
        for status in OF_HTTP
        for schema in SCHEMAS
    }


def error_answers(errors: Iterable[type[ServingError]], schema: str) -> dict[int, Json | str]:
    """Return OpenAPI's response objects of ``errors`` and of all routes' errors, by their statuses.

    Where there are none but those of all routes, the value is the name of a component. The errors
    have the form of ``schema``, one of ``SCHEMAS``.
    """
    told: dict[int, list[str]] = {}
    for error in errors:
        sentence = (error.__doc__ or "").strip().split("\n")[0].rstrip(".")
        told.setdefault(int(error.status), []).append(sentence)
    answers: dict[int, Json | str] = {status: f"{schema}-{status}" for status in OF_HTTP}
    for status, sentences in told.items():
        own = [NO_HTTP] if status in OF_HTTP else []
        answers[status] = _answer(status, [*own, *sentences], schema)
    return dict(sorted(answers.items()))


def _answer(status: int, sentences: list[str], schema: str) -> Json:
    kind = PROBLEM if schema == "Problem" else "application/json"
    return {
        "description": f"{PHRASES[status]}. {'; '.join(dict.fromkeys(sentences))}.",
        "headers": {name: name for name in ("X-Request-Id", *FIELDS.get(status, ()))},
        "content": {kind: {"schema": schema}},
    }
