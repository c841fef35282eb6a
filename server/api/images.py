"""Our own interface: many images at a time, which a body asks for."""

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from server.api.context import CONTEXT, RequestContext
from server.api.generate import EncodedAnswer, ImageService, Timings
from server.api.image_request import READERS, TYPES, ImageRequest
from server.api.streaming import ImageStream, is_streamed
from server.codecs.formats import FORMATS
from server.errors import UnsupportedMedia
from server.ipc.sources import SeedRange
from server.worker.streamed import Streamed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ROUTE = "/v1/images/<seed>.png"
MANY = "/v1/images"

Fields = list[tuple[str, str]]
Answer = tuple[str, Fields, bytes | Streamed]
"""The status line, the header fields and the body of an answer."""


def answer(service: ImageService, wanted: ImageRequest, environ: "WSGIEnvironment") -> Answer:
    """Return the answer to ``wanted``.

    Raises:
        ServingError: a header has a value that cannot be served, or there are no images.
    """
    context: RequestContext = environ[CONTEXT]
    body: bytes | Streamed
    if wanted.source.n > 1 and is_streamed(service, wanted):
        stream = ImageStream(service, wanted, context)
        body = stream.begin()
        drawer = stream.drawer
        model = drawer.model
        fields = _fields(wanted, body.length, str(model), drawer.plan, drawer.timings)
    else:
        fields, encoded = draw(service, wanted, context)
        body, model = encoded.body, encoded.entry
    if wanted.parameters.format == "raw":
        shape = wanted.shape(model)
        fields += [("Carfront-Shape", ", ".join(map(str, shape))), ("Carfront-Dtype", "uint8")]
    return "200 OK", fields, body


def draw(
    service: ImageService, wanted: ImageRequest, context: RequestContext
) -> tuple[Fields, EncodedAnswer]:
    """Return the images of ``wanted``, and the header fields that every answer with images has.

    Raises:
        ServingError: a header has a value that cannot be served, or there are no images.
    """
    source, parameters = wanted.source, wanted.parameters
    terms = context.terms()
    if parameters.is_plain:
        form = FORMATS[parameters.format]
    else:
        wanted.check_size(service.find(wanted.model, wanted.version))
        form = parameters.form(source)
    encoded = wanted.draw(service, terms, form)
    took = context.timings = encoded.timings
    return _fields(wanted, len(encoded.body), encoded.model, encoded.plan, took), encoded


def _fields(
    wanted: ImageRequest, length: int | None, model: str, plan: str, took: Timings
) -> Fields:
    """Return the header fields of images; without a ``length`` nobody knows it."""
    fields = [("Content-Type", wanted.parameters.file_format.mimetype)]
    if length is not None:
        fields.append(("Content-Length", str(length)))
    fields += [("Carfront-Model", model), ("Carfront-Plan", plan)]
    if isinstance(wanted.source, SeedRange):
        fields.append(("Carfront-Seed", str(wanted.source.seed)))
    fields.append(("Server-Timing", took.in_header()))
    return fields


def blueprint(service: ImageService) -> Blueprint:
    """Return the route to many images."""
    routes = Blueprint("images", __name__)

    @routes.post(MANY)
    def images() -> Response:
        kind = "application/json" if request.is_json else request.mimetype
        if kind not in READERS:
            raise UnsupportedMedia("Content-Type", request.content_type or "", TYPES)
        wanted = READERS[kind](request.environ, service.most_images)
        status, fields, body = answer(service, wanted, request.environ)
        return Response(body, status, headers=fields, direct_passthrough=True)

    return routes
