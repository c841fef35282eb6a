"""Our own interface: images and grids that a URL names, and that caches may keep.

An image's name is its seed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from server.api.caching import UNVERSIONED, cache_control, entity_tag, held_tag
from server.api.context import CONTEXT
from server.api.generate import ImageService
from server.api.image_request import ImageRequest
from server.api.images import Answer, draw
from server.api.negotiation import accepted_format
from server.api.query import OF_GRID, OF_IMAGE, Query, check_suffix, parse_seed
from server.api.sources import MAX_N
from server.codecs.formats import BY_SUFFIX
from server.errors import EngineUnavailable
from server.ipc.catalog import Entry
from server.ipc.sources import SeedRange
from server.worker.model_fit import classes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BASES = "/v1", "/v1/models/<name>/versions/<version>"
"""The paths below which there are images and grids."""
OF_GRIDS = ("png", "jpg", "webp")
"""The suffixes of grids, which are pictures."""


def answer_url(service: ImageService, wanted: ImageRequest, environ: "WSGIEnvironment") -> Answer:
    """Return the answer to ``wanted``, whose images a URL names.

    Raises:
        ServingError: a header has a value that cannot be served, or there are no images.
    """
    if "HTTP_IF_NONE_MATCH" in environ or environ["REQUEST_METHOD"] == "HEAD":
        told = _without_drawing(service, wanted, environ)
        if told:
            return told
    fields, encoded = draw(service, wanted, environ[CONTEXT])
    tag = _tag(wanted, encoded.entry, encoded.plan)
    fields.append(("ETag", tag))
    fields.append(_cache_control(service, wanted, encoded.entry))
    return "200 OK", fields, encoded.body


def _without_drawing(
    service: ImageService, wanted: ImageRequest, environ: "WSGIEnvironment"
) -> Answer | None:
    """Return the answer where nothing need be drawn for it: the caller has it, or wants the head.

    Of engines with several plans, any could draw: the caller may have what one of them draws.
    """
    environ[CONTEXT].terms()  # they are checked as if images were drawn
    model = service.find(wanted.model, wanted.version)
    if not wanted.parameters.is_plain:
        wanted.check_size(model)
    plans = service.plans_of(model)
    tags = [_tag(wanted, model, plan) for plan in plans]
    if held := held_tag(environ.get("HTTP_IF_NONE_MATCH"), tags):
        return "304 Not Modified", [("ETag", held), _cache_control(service, wanted, model)], b""
    if environ["REQUEST_METHOD"] != "HEAD":
        return None
    if not plans:
        raise EngineUnavailable
    form = wanted.parameters.file_format
    fields = [("Content-Type", form.mimetype)]
    if form.size:
        fields.append(("Content-Length", str(form.size(wanted.shape(model)))))
    fields += [
        ("Carfront-Model", str(model)),
        ("Carfront-Plan", plans[0]),
        ("Carfront-Seed", str(wanted.source.seed)),
        ("ETag", tags[0]),
        _cache_control(service, wanted, model),
    ]
    return "200 OK", fields, b""


def _tag(wanted: ImageRequest, model: Entry, plan: str) -> str:
    source, number = wanted.source, classes(wanted.named, model)
    assert isinstance(source, SeedRange) and isinstance(number, int)  # a URL names no other
    return entity_tag(model.key, plan, source, wanted.parameters, number)


def _cache_control(service: ImageService, wanted: ImageRequest, model: Entry) -> tuple[str, str]:
    """Return the header field that tells caches how long they may keep what ``model`` draws."""
    if wanted.version is None:
        return UNVERSIONED
    return "Cache-Control", cache_control(model, service.plans_of(model))


def respond(service: ImageService, wanted: ImageRequest, suffix: str | None) -> Response:
    """Answer a request whose images a URL names; without a ``suffix``, ``Accept`` has decided."""
    status, fields, body = answer_url(service, wanted, request.environ)
    if suffix is None:
        fields.append(("Vary", "Accept"))
    response = Response(body or None, status, headers=fields)
    response.automatically_set_content_length = False  # that of a HEAD may be unknown
    return response


def blueprint(service: ImageService) -> Blueprint:
    """Return the routes to images and grids."""
    routes = Blueprint("image_urls", __name__)

    def image(
        seed: str, suffix: str | None = None, name: str | None = None, version: str | None = None
    ) -> Response:
        if suffix is None:
            check_suffix(seed)
        form = _format(suffix, tuple(BY_SUFFIX))
        query = _query(OF_IMAGE)
        source = SeedRange(parse_seed(seed), 1, query.truncation())
        wanted = ImageRequest(
            source, query.parameters(form), name, version, query.texts.get("class")
        )
        return respond(service, wanted, suffix)

    def grid(
        suffix: str | None = None, name: str | None = None, version: str | None = None
    ) -> Response:
        form = _format(suffix, OF_GRIDS)
        query = _query(OF_GRID)
        source, parameters = query.grid(form, MAX_N)
        named = query.texts.get("class")
        return respond(service, ImageRequest(source, parameters, name, version, named), suffix)

    for base in BASES:
        routes.add_url_rule(f"{base}/images/<seed>", view_func=image)
        routes.add_url_rule(f"{base}/grid", view_func=grid)
        for suffix in BY_SUFFIX:
            rule = f"{base}/images/<seed>.{suffix}"
            routes.add_url_rule(rule, view_func=image, defaults={"suffix": suffix})
        for suffix in OF_GRIDS:
            rule = f"{base}/grid.{suffix}"
            routes.add_url_rule(rule, view_func=grid, defaults={"suffix": suffix})
    return routes


def _query(known: Sequence[str]) -> Query:
    return Query(request.environ["QUERY_STRING"], known)


def _format(suffix: str | None, offered: Sequence[str]) -> str:
    """Return the name of the format that a URL's ``suffix``, or ``Accept``, names.

    Raises:
        UnsupportedFormat: there is no suffix, and the caller accepts no format that is offered.
    """
    if suffix is not None:
        return BY_SUFFIX[suffix]
    return accepted_format(request.headers.get("Accept"), [BY_SUFFIX[x] for x in offered])
