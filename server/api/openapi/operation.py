"""What the document of the HTTP interface tells of a route, besides what the route tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.api.sources import MAX_N
from server.bundle.manifest import Manifest
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ServingError,
)

Json = dict[str, Any]
Errors = tuple[type[ServingError], ...]

NEVER: Json = {"not": {}}
"""The schema of a member that may not be there."""
FINDS: Errors = (ModelNotFound, ModelUnavailable, EngineUnavailable)
"""The errors of a route that looks a model up."""
DRAWS: Errors = (*FINDS, QueueFull, DeadlineExceeded, InferenceFailed)
"""The errors of a route that draws images."""


@dataclass(frozen=True)
class Facts:
    """What differs between the documents of two servers."""

    manifest: Manifest
    """The bundle that answers requests which name none; the examples are about it."""
    has_keys: bool
    """Whether requests need a key."""
    most_images: int = MAX_N
    """The images that a request may have at most."""

    @property
    def model(self) -> str:
        """The name of the bundle's model."""
        return self.manifest.name


@dataclass(frozen=True)
class Answer:
    """One answer of a route that is no error."""

    description: str
    content: Mapping[str, Json] = field(default_factory=dict)
    """OpenAPI's media type objects, by their media types."""
    headers: Sequence[str] = ()
    """The names of header fields, all of them among ``HEADERS``."""


@dataclass(frozen=True)
class Operation:
    """What is told of one route."""

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    """The answers that are no errors, by their statuses."""
    errors: Errors = ()
    description: str = ""
    parameters: Sequence[str] = ()
    """The names of parameters besides those of the path, all of them among ``PARAMETERS``."""
    body: Mapping[str, Json] | None = None
    """OpenAPI's media type objects of the request's body, by their media types."""
    needs_body: bool = True
    """Whether a request without the body is refused."""
    for_administrators: bool = False


Operations = Mapping[tuple[str, str | None], Operation]
"""The operations by the endpoint that Flask has for them, and the suffix that a rule sets."""


def json_of(schema: Json | str, example: Any = None) -> dict[str, Json]:
    """Return the content of a body of JSON of that ``schema``, which may be a component's name."""
    media: Json = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {"application/json": media}
