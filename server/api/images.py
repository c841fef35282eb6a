"""Our own interface: an image's name is its seed."""

import secrets
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from server.api.body import read_json
from server.api.context import CONTEXT, RequestContext
from server.api.generate import ImageService
from server.bundle.latents import SEEDS
from server.codecs.formats import FORMATS
from server.errors import InvalidRequest, UnsupportedMedia, shown
from server.ipc.messages import SeedRange

ROUTE = "/v1/images/<seed>.png"
MANY = "/v1/images"
VERSIONED = "/v1/models/<name>/versions/<version>/images/<seed>.png"
MAX_N = 4096
"""The most images of one request."""
MEMBERS = ("n", "seed", "format", "model", "version")
"""The members of the body of ``POST /v1/images``."""
SERVER_TIMING = "queue;dur=%.3f, infer;dur=%.3f, encode;dur=%.3f"
"""The header of that name, in milliseconds. An f-string takes a quarter longer."""

Fields = list[tuple[str, str]]


@dataclass(slots=True)
class ImageRequest:
    """The images that a caller asks for, and in which format."""

    source: SeedRange
    format: str
    """One of ``FORMATS``."""
    model: str | None = None
    """None is the server's default model."""
    version: str | None = None
    """None is the model's newest version that is served."""

    @classmethod
    def from_json(cls, body: Any) -> "ImageRequest":
        """Return what the JSON ``body`` asks for: one image, a random seed and PNG if it says less.

        Raises:
            InvalidRequest: a member is unknown, of the wrong type or out of range.
        """
        if not isinstance(body, dict):
            raise InvalidRequest("body", body, 'a JSON object such as {"n": 4, "seed": 7}')
        for name in body:
            if name not in MEMBERS:
                told = shown(name)[1:-1]
                raise InvalidRequest(told, body[name], f"the members {', '.join(MEMBERS)}")
        n = _whole(body, "n", 1, 1, MAX_N)
        any_seed = 0 if "seed" in body else secrets.randbelow(SEEDS - n + 1)
        seed = _whole(body, "seed", any_seed, 0, SEEDS - 1)
        if seed + n > SEEDS:
            raise InvalidRequest("seed", seed, f"at most {SEEDS - n}, so that {n} images follow")
        name = body.get("format", "png")
        if not isinstance(name, str) or name not in FORMATS:
            raise InvalidRequest("format", name, " or ".join(f'"{x}"' for x in FORMATS))
        return cls(SeedRange(seed, n), name, _text(body, "model"), _text(body, "version"))


def answer(
    service: ImageService, wanted: ImageRequest, context: RequestContext
) -> tuple[Fields, bytes]:
    """Return the header fields and the body of the answer to ``wanted``.

    Raises:
        ServingError: a header has a value that cannot be served, or there are no images.
    """
    form = FORMATS[wanted.format]
    terms = context.terms()
    encoded = service.answer(wanted.source, terms, form, wanted.model, wanted.version)
    took = context.timings = encoded.timings
    timing = SERVER_TIMING % (took.queue_s * 1e3, took.infer_s * 1e3, took.encode_s * 1e3)
    fields = [
        ("Content-Type", form.mimetype),
        ("Content-Length", str(len(encoded.body))),
        ("Carfront-Model", encoded.model),
        ("Carfront-Seed", str(wanted.source.seed)),
        ("Server-Timing", timing),
    ]
    return fields, encoded.body


def blueprint(service: ImageService) -> Blueprint:
    """Return the routes to images."""
    routes = Blueprint("images", __name__)

    def respond(wanted: ImageRequest) -> Response:
        fields, body = answer(service, wanted, request.environ[CONTEXT])
        return Response(body, headers=fields)

    @routes.get(ROUTE)
    def image(seed: str) -> Response:
        return respond(ImageRequest(SeedRange(parse_seed(seed), 1), "png"))

    @routes.get(VERSIONED)
    def versioned(name: str, version: str, seed: str) -> Response:
        return respond(ImageRequest(SeedRange(parse_seed(seed), 1), "png", name, version))

    @routes.post(MANY)
    def images() -> Response:
        if not request.is_json:
            raise UnsupportedMedia("Content-Type", request.content_type or "", "application/json")
        return respond(ImageRequest.from_json(read_json(request.environ)))

    return routes


def parse_seed(text: str) -> int:
    """Return the seed that ``text`` writes in decimal.

    Raises:
        InvalidRequest: it is not a whole number from 0 to 2^64 - 1.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 20:
        seed = int(text)
        if seed < SEEDS:
            return seed
    raise InvalidRequest("seed", text, f"a whole number from 0 to {SEEDS - 1}")


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and type(value) is not str:
        raise InvalidRequest(name, value, "a text, such as those of POST /v2/repository/index")
    return value


def _whole(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidRequest(name, value, f"a whole number from {low} to {high}")
    return value
