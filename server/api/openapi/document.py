"""The document of the HTTP interface, put together from Flask's routes and what is told of them."""

import re
from collections.abc import Mapping

from apispec import APISpec
from werkzeug.routing import Map, Rule

from server.api.auth import METRICS, PROBES
from server.api.oip_documents import SERVER_VERSION
from server.api.openapi import images, inference, restore, service, tfserving
from server.api.openapi.error_answers import SCHEMAS, components, error_answers
from server.api.openapi.fields import HEADERS, PARAMETERS, of_path
from server.api.openapi.operation import Errors, Facts, Json, Operation, Operations
from server.error_document import INFERENCE_PROTOCOLS
from server.errors import (
    InvalidRequest,
    KeyMissing,
    KeyUnknown,
    NoAdministrators,
    NotAdministrator,
    NotAuthorized,
    QueueFull,
    RateExceeded,
    TooManyInFlight,
)

OPENAPI = "3.1.0"
WITHOUT_BODY = frozenset({"HEAD", "OPTIONS"})
"""The methods that Flask adds to routes, which are told of in words."""
PLACEHOLDER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
"""The match of a parameter in a rule of Flask's; its name is group 1."""
MODULES = images, restore, inference, tfserving, service
"""The modules that tell of routes; each has ``TAG``, ``operations`` and ``schemas``."""
DESCRIPTION = """\
Images of a generative network, named by their seeds: the same seed, the same image.

Routes that are asked with GET answer HEAD too, without drawing. A path with a slash too many is \
404, another method 405 with `Allow`, and what is none of HTTP that is read here 400, 408, 413, \
414, 417, 431, 501 or 505. Any request may have `X-Request-Id` and `traceparent`.

Errors are `application/problem+json`, those of the inference protocols `{"error": "..."}`; 503 \
and 429 say by `Retry-After` when it is worth to ask again."""
SCHEMES: dict[str, Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, or for administrators the token.",
    },
    "api-key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key."},
}


def operations_of(facts: Facts) -> Operations:
    """Return what is told of all routes."""
    return {key: told for module in MODULES for key, told in module.operations(facts).items()}


def key_of(rule: Rule) -> tuple[str, str | None]:
    """Return the key of a route among ``Operations``."""
    return rule.endpoint, (rule.defaults or {}).get("suffix")


def path_of(rule: Rule) -> str:
    """Return a route's path as OpenAPI writes it."""
    return PLACEHOLDER.sub(r"{\1}", rule.rule)


def document(routes: Map, facts: Facts) -> Json:
    """Return the document of ``routes``.

    Raises:
        KeyError: nothing is told of a route.
    """
    spec = APISpec(
        "Carfront",
        SERVER_VERSION,
        OPENAPI,
        info={
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": "."}],
    )
    for module in MODULES:
        spec.tag(dict(zip(("name", "description"), module.TAG, strict=True)))
    for name, scheme in SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    _add_components(spec, facts)
    told = operations_of(facts)
    for rule in routes.iter_rules():
        (method,) = (rule.methods or set()) - WITHOUT_BODY
        operation = _operation(rule, told[key_of(rule)], facts)
        spec.path(path_of(rule), operations={method.lower(): operation})
    return spec.to_dict()


def _add_components(spec: APISpec, facts: Facts) -> None:
    for name, schema in SCHEMAS.items():
        spec.components.schema(name, schema)
    for module in MODULES:
        for name, schema in module.schemas(facts).items():
            spec.components.schema(name, schema)
    for name, header in HEADERS.items():
        spec.components.header(name, header, lazy=True)
    for name, answer in components().items():
        spec.components.response(name, answer, lazy=True)
    for name, parameter in of_path(facts).items():
        spec.components.parameter(f"path-{name}", "path", parameter | {"name": name})
    for name, parameter in PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], parameter, lazy=True)


def _operation(rule: Rule, told: Operation, facts: Facts) -> Json:
    """Return OpenAPI's operation object of a route."""
    path = path_of(rule)
    in_path = sorted(rule.arguments - set(rule.defaults or ()), key=path.index)
    operation: Json = {
        "operationId": _id_of(rule),
        "tags": [told.tag],
        "summary": told.summary,
        "parameters": [*(f"path-{name}" for name in in_path), *told.parameters],
        "responses": _answers(told, path, facts),
    }
    if told.description:
        operation["description"] = told.description
    if told.body is not None:
        operation["requestBody"] = {"required": told.needs_body, "content": dict(told.body)}
    if told.for_administrators:
        operation["security"] = [{"bearer": []}, *([{"api-key": []}] if facts.has_keys else [])]
    elif facts.has_keys:
        operation["security"] = [] if _is_open(path) else [{"bearer": []}, {"api-key": []}]
    return operation


def _is_open(path: str) -> bool:
    """Return whether a path needs no key, where others do."""
    return path in PROBES or path == METRICS


def _id_of(rule: Rule) -> str:
    """Return a name of a route that no other has: the view's, and what the rule adds to it."""
    words = [rule.endpoint.replace(".", "_")]
    _, suffix = key_of(rule)
    words += [suffix] if suffix else []
    words += [f"of_{name}" for name in ("version", "label") if name in rule.arguments]
    words += ["slash"] if rule.rule.endswith("/") and rule.rule != "/" else []
    return "_".join(words)


def _answers(told: Operation, path: str, facts: Facts) -> Mapping[int, Json | str]:
    """Return OpenAPI's response objects of a route, by their statuses."""
    errors: Errors = (InvalidRequest, *told.errors)
    always: tuple[str, ...] = ("X-Request-Id",)
    if told.for_administrators:
        errors += (NotAuthorized, NoAdministrators)
    if facts.has_keys and not _is_open(path):
        always += ("RateLimit", "RateLimit-Policy")
        errors += (KeyMissing, KeyUnknown)
        errors += (NotAdministrator,) if told.for_administrators else ()
        errors += (RateExceeded, TooManyInFlight) if QueueFull in told.errors else ()
    good = {
        status: {
            "description": answer.description,
            "headers": {name: name for name in (*always, *answer.headers)},
            **({"content": dict(answer.content)} if answer.content else {}),
        }
        for status, answer in told.answers.items()
    }
    failed = error_answers(errors, "Error" if INFERENCE_PROTOCOLS(path) else "Problem")
    return {**failed, **good}
