"""Our own interface: morphs, which show the way from one seed's image to another's.

A morph is an animation, or a strip of its frames. Its first and its last frame are the images of
the two seeds.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from server.api.generate import EncodedAnswer, ImageService
from server.api.image_request import ImageRequest
from server.api.image_urls import BASES, respond
from server.api.interpolation import way
from server.api.negotiation import accepted_format
from server.api.parameters import ImageParameters
from server.api.query import OF_MORPH, Query
from server.bundle.classes import Named, NamedEach
from server.codecs.animation import ANIMATIONS
from server.codecs.formats import FORMATS, Format
from server.errors import ModelGone
from server.ipc.sources import Latents, SeedRange
from server.worker.request_terms import RequestTerms

if TYPE_CHECKING:
    from server.ipc.catalog import Entry

FORMATS_OF_MORPHS = {**ANIMATIONS, "png": FORMATS["png"]}
"""The formats of morphs by their names, which are suffixes too; a PNG is a strip."""
MOST_FRAMES = 256
FRAMES = 16
"""How many frames a morph has where nothing is said."""
FRAME_MS = 100
"""How long an animation shows each frame where nothing is said, in milliseconds."""
SHORTEST_MS, LONGEST_MS = 20, 10_000
"""The limits of that time. Browsers show a frame of less than 20 ms for 100."""


@dataclass(frozen=True)
class MorphParameters(ImageParameters):
    """What decides about the bytes of a morph besides what decides about an image's."""

    to: int = 0
    """The seed at the end; the one at the beginning is that of the request's source."""
    frame_ms: int = 0
    """How long each frame is shown, in milliseconds; 0 in a strip."""

    @property
    def file_format(self) -> Format:
        """The format, which does nothing of what is asked besides."""
        form = FORMATS_OF_MORPHS[self.format]
        encode = form.encode
        if self.frame_ms:
            encode = partial(encode, frame_ms=self.frame_ms)
        return form._replace(encode=encode)

    @property
    def is_plain(self) -> bool:
        """Whether images go into their format as they were drawn: those of a morph never do."""
        return False

    def picture_size(self, n: int, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of a picture of the file: a frame, or the strip of all."""
        return (height, width) if self.frame_ms else super().picture_size(n, height, width)


class MorphRequest(ImageRequest):
    """A morph: ``source`` has its first seed, and as many rows as there are frames.

    Without a class, all frames of a model with classes are of the class of the first seed.
    """

    parameters: MorphParameters

    def draw(self, service: ImageService, terms: RequestTerms, form: Format) -> EncodedAnswer:
        """Return the frames in the format ``form``; see ``ImageService.answer``."""
        while True:
            model = service.find(self.model, self.version)
            rows = self._latents(model)
            try:
                return service.answer_with(model, rows, terms, form, self._class_in(model))
            except ModelGone:  # a new version has its own latents
                continue

    def _latents(self, model: "Entry") -> Latents:
        assert model.manifest is not None  # find has seen to it
        seeds = self.source
        facts = model.manifest.latents
        return Latents(way(seeds.seed, self.parameters.to, seeds.n, seeds.truncation, facts))

    def _class_in(self, model: "Entry") -> Named | NamedEach:
        assert model.manifest is not None  # find has seen to it
        if self.named is None and model.manifest.classes:
            return self.source.seed % len(model.manifest.classes)
        return self.named


def blueprint(service: ImageService) -> Blueprint:
    """Return the routes to morphs."""
    routes = Blueprint("morph", __name__)

    def morph(
        suffix: str | None = None, name: str | None = None, version: str | None = None
    ) -> Response:
        form = suffix
        if form is None:
            accepted = request.headers.get("Accept")
            form = accepted_format(accepted, tuple(FORMATS_OF_MORPHS), FORMATS_OF_MORPHS)
        query = Query(request.environ["QUERY_STRING"], OF_MORPH)
        source, parameters = _asked(query, form)
        named = query.texts.get("class")
        return respond(service, MorphRequest(source, parameters, name, version, named), suffix)

    for base in BASES:
        routes.add_url_rule(f"{base}/morph", view_func=morph)
        for suffix in FORMATS_OF_MORPHS:
            rule = f"{base}/morph.{suffix}"
            routes.add_url_rule(rule, view_func=morph, defaults={"suffix": suffix})
    return routes


def _asked(query: Query, form: str) -> tuple[SeedRange, MorphParameters]:
    """Return the first seed with the number of frames, and the parameters of a morph in ``form``.

    Raises:
        InvalidRequest: a parameter is missing, or cannot be served.
    """
    first, last = query.seed("from"), query.seed("to")
    frames = query.whole("frames", FRAMES, 2, MOST_FRAMES)
    frame_ms = query.whole("frame_ms", FRAME_MS, SHORTEST_MS, LONGEST_MS)
    plain = query.parameters(form)
    if form in ANIMATIONS:
        parameters = MorphParameters(form, plain.scale, plain.filter, 0, last, frame_ms)
    else:
        parameters = MorphParameters(form, plain.scale, plain.filter, frames, last)
    return SeedRange(first, frames, query.truncation()), parameters
