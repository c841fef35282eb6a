"""The document of the HTTP interface, arranged for the page that shows it to people."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote
from typing import Any
from urllib.parse import quote as escaped
from urllib.parse import urlencode

from markupsafe import Markup, escape

from server.api.openapi.operation import NEVER, Json

LONGEST = 400
"""The characters of an example's body at most; longer ones are not shown as commands."""


@dataclass
class Row:
    """A parameter, or a member of a schema."""

    name: str
    kind: str
    """What it may be, in words."""
    note: str
    is_required: bool
    place: str = ""
    """Where a parameter stands."""


@dataclass
class Shown:
    """One operation as the page shows it."""

    method: str
    path: str
    told: Json
    """OpenAPI's operation object."""
    rows: list[Row]
    """Its parameters."""
    bodies: list[tuple[str, str]]
    """The media types of its body, and what each may be."""
    answers: list[tuple[str, Json]]
    """Its own answers, by their statuses: OpenAPI's response objects."""
    commands: list[tuple[str, str]] = field(default_factory=list)
    """Examples as commands, each with a title, which may be empty."""


@dataclass
class Chapter:
    """The operations of one tag."""

    name: str
    description: str
    operations: list[Shown]


def chapters_of(document: Json, address: str) -> list[Chapter]:
    """Return the operations of ``document`` by their tags, in the order of the tags and paths.

    ``address`` is the URL, without a slash at its end, below which commands ask for the paths.
    """
    shown = [
        _shown(document, address, path, method, told)
        for path, methods in sorted(document["paths"].items())
        for method, told in methods.items()
    ]
    return [
        Chapter(
            tag["name"], tag["description"], [x for x in shown if tag["name"] in x.told["tags"]]
        )
        for tag in document["tags"]
    ]


def rows_of(schema: Json) -> list[Row]:
    """Return the members of an object of a ``schema``."""
    required = schema.get("required", ())
    return [
        Row(name, kind_of(member), note_of(member), name in required)
        for name, member in schema.get("properties", {}).items()
        if member != NEVER
    ]


def note_of(schema: Json) -> str:
    """Return what a schema says of itself in words."""
    default = schema.get("default")
    told = [schema.get("description", "")]
    told += [] if default is None else [f"By default {default}."]
    return " ".join(x for x in told if x)


def kind_of(schema: Json) -> str:
    """Return in words what may be of a ``schema``."""
    if reference := schema.get("$ref"):
        return str(reference.rpartition("/")[2])
    for joint in ("oneOf", "anyOf"):
        if joint in schema:
            return " or ".join(kind_of(x) for x in schema[joint])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kinds = schema.get("type", "any")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if "items" in schema:
        words = f"{words} of {kind_of(schema['items'])}"
    return f"{words}{_bounds(schema)}"


def linked(kind: str, document: Json) -> Markup:
    """Return what may be in words, each name of a schema a link to it."""
    schemas = document["components"]["schemas"]
    words = (
        Markup('<a href="#schema-{0}">{0}</a>').format(word) if word in schemas else escape(word)
        for word in kind.split(" ")
    )
    return Markup(" ").join(words)


def ticks(text: str) -> Markup:
    """Return ``text`` with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part)
        for i, part in enumerate(parts)
    )


FILTERS = {"linked": linked, "ticks": ticks, "kind": kind_of, "rows": rows_of}
"""The filters of the page's template."""


def _bounds(schema: Json) -> str:
    for low, high in (
        ("minimum", "maximum"),
        ("exclusiveMinimum", "maximum"),
        ("minItems", "maxItems"),
    ):
        if low in schema and high in schema:
            above = "above " if low.startswith("exclusive") else ""
            return f", {above}{schema[low]} to {schema[high]}"
        if low in schema:
            return f", at least {schema[low]}"
    return ""


def _shown(document: Json, address: str, path: str, method: str, told: Json) -> Shown:
    parameters = [_resolved(document, x) for x in told["parameters"]]
    rows = [
        Row(
            x["name"],
            kind_of(x["schema"]),
            note_of({**x["schema"], **x}),
            x.get("required", False),
            x["in"],
        )
        for x in parameters
    ]
    content = told.get("requestBody", {}).get("content", {})
    bodies = [(kind, kind_of(media["schema"])) for kind, media in content.items()]
    answers = [(status, x) for status, x in sorted(told["responses"].items()) if "$ref" not in x]
    shown = Shown(method.upper(), path, told, rows, bodies, answers)
    shown.commands = list(_commands(address + path, method, parameters, content))
    return shown


def _commands(
    url: str, method: str, parameters: list[Json], content: Json
) -> Iterator[tuple[str, str]]:
    """Yield the examples of an operation as commands."""
    examples = dict(examples_of(content))
    query = {x["name"]: x["example"] for x in parameters if x["in"] == "query" and "example" in x}
    url = filled(url, parameters) + (f"?{urlencode(query)}" if query and not examples else "")
    if method == "get":
        yield "", f"curl -O {quote(url)}" if "?" in url else f"curl {quote(url)}"
    for title, value in examples.items():
        body = json.dumps(value)
        if len(body) <= LONGEST:
            yield title, f"curl {quote(url)} -H 'Content-Type: application/json' -d {quote(body)}"


def filled(path: str, parameters: list[Json]) -> str:
    """Return ``path`` with the examples of its parameters in it."""
    for parameter in parameters:
        if parameter["in"] == "path":
            text = escaped(str(parameter["example"]), safe="")
            path = path.replace("{" + parameter["name"] + "}", text)
    return path


def examples_of(content: Json) -> Iterator[tuple[str, Any]]:
    """Yield the examples of a body of JSON, each with its title."""
    media = content.get("application/json", {})
    if "example" in media:
        yield "", media["example"]
    for title, example in media.get("examples", {}).items():
        yield title, example["value"]


def _resolved(document: Json, part: Json) -> Json:
    """Return the component that ``part`` refers to, or ``part`` itself."""
    if "$ref" not in part:
        return part
    *_, kind, name = part["$ref"].split("/")
    found: Json = document["components"][kind][name]
    return found
