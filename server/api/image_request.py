"""Our own interface's requests for images: what is to be drawn, by whom, and in which form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.body import read_body, read_json
from server.api.generate import EncodedAnswer, ImageService
from server.api.negotiation import accepted_format
from server.api.parameters import ImageParameters
from server.api.query import OF_FILE, Query
from server.api.sources import MAX_N, latents_of_npy, source_of_json, whole
from server.bundle.classes import Named, NamedEach, named_for_each
from server.codecs.archive import InParts
from server.codecs.enlarge import FILTERS, MOST
from server.codecs.formats import ALIASES, FORMATS, Format
from server.errors import InvalidRequest, Words, shown
from server.ipc.catalog import Entry
from server.ipc.sources import LATENTS, SEED_RANGE, SEEDS, Source
from server.worker.request_terms import RequestTerms

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MEMBERS = (
    "n", "seed", "seeds", "latents", "truncation", "class", "format", "scale", "filter", "model",
    "version",
)  # fmt: skip
"""The members of the body of ``POST /v1/images``."""
BY_ACCEPT = tuple(name for name in FORMATS if name != "tar.jpg")
"""The formats that ``Accept`` may choose: of two tars it cannot tell which."""
PLAIN = {name: ImageParameters(ALIASES.get(name, name)) for name in (*FORMATS, *ALIASES)}
"""The parameters of images of which nothing is asked but the format, by the format's names."""


@dataclass(slots=True)
class ImageRequest:
    """The images that a caller asks for, and in which form."""

    source: Source
    parameters: ImageParameters
    model: str | None = None
    """None is the server's default model."""
    version: str | None = None
    """None is the model's newest version that is served."""
    named: Named | NamedEach = None
    """The class of the images, or a list with that of each; None leaves each to its seed."""

    @classmethod
    def from_json(cls, body: Any, accept: str | None = None, most: int = MAX_N) -> "ImageRequest":
        """Return what the JSON ``body`` asks for: one image and a random seed if it says less.

        ``accept``, the field of that name, decides about the format if the body does not. There may
        be ``most`` images.

        Raises:
            InvalidRequest: a member is unknown, of the wrong type or out of range.
            UnsupportedFormat: the caller accepts none of our formats.
        """
        if not isinstance(body, dict):
            raise InvalidRequest("body", body, 'a JSON object such as {"n": 4, "seed": 7}')
        for name in body:
            if name not in MEMBERS:
                told = shown(name)[1:-1]
                raise InvalidRequest(told, body[name], f"the members {', '.join(MEMBERS)}")
        source, parameters = source_of_json(body, most), _parameters(body, accept)
        _check_count(source, parameters, most)
        model, version = _text(body, "model"), _text(body, "version")
        named = named_for_each(body.get("class"), source.n)
        return cls(source, parameters, model, version, named)

    @classmethod
    def in_json(cls, environ: "WSGIEnvironment", most: int = MAX_N) -> "ImageRequest":
        """Return what the JSON in the body of a request asks for; nothing stands in its query.

        There may be ``most`` images.

        Raises:
            InvalidRequest: the query is not empty, or the body is none that is read here.
            UnsupportedMedia, UnsupportedFormat: the body is compressed; no format is accepted.
        """
        if query := environ.get("QUERY_STRING"):
            raise InvalidRequest("query", query, "none beside JSON, whose members say as much")
        return cls.from_json(read_json(environ), environ.get("HTTP_ACCEPT"), most)

    @classmethod
    def from_npy(
        cls, data: bytes, query: str, accept: str | None = None, most: int = MAX_N
    ) -> "ImageRequest":
        """Return what the latents in a .npy file and the parameters in ``query`` ask for.

        There may be ``most`` images.

        Raises:
            InvalidRequest: the file is no array of latents, or a parameter cannot be served.
            UnsupportedFormat: the caller accepts none of our formats.
        """
        asked = Query(query, OF_FILE)
        parameters = asked.parameters(_format(asked.texts, accept).format)
        model, version, named = map(asked.texts.get, ("model", "version", "class"))
        source = latents_of_npy(data, most)
        _check_count(source, parameters, most)
        return cls(source, parameters, model, version, named)

    @property
    def in_parts(self) -> InParts | None:
        """How the format is written part by part; None of pictures, which are whole."""
        return self.parameters.file_format.parts

    def draw(self, service: ImageService, terms: RequestTerms, form: Format) -> EncodedAnswer:
        """Return the images in the format ``form``; see ``ImageService.answer``."""
        return service.answer(self.source, terms, form, self.model, self.version, self.named)

    def shape(self, model: Entry) -> tuple[int, ...]:
        """Return the shape of the images that ``model`` draws, as they go into their format."""
        return self.parameters.shape(self.source.n, _image_shape(model))

    def check_size(self, model: Entry) -> None:
        """Check that what ``model`` would draw is not too large for an answer."""
        self.parameters.check_size(self.source.n, _image_shape(model))


READERS: dict[str | None, Callable[["WSGIEnvironment", int], ImageRequest]] = {
    "application/json": ImageRequest.in_json,
    **dict.fromkeys(
        ("application/x-npy", "application/octet-stream"),
        lambda x, most: ImageRequest.from_npy(
            read_body(x), x.get("QUERY_STRING", ""), x.get("HTTP_ACCEPT"), most
        ),
    ),
}
"""What reads the request in a body, by the body's type; it takes the most images, too."""
TYPES = "application/json, application/x-npy"
"""The types that a caller is told: the third one says nothing of what there is in a body."""


def _check_count(source: Source, parameters: ImageParameters, most: int) -> None:
    """Check that a picture has no more images than one may have: other formats have ``most``."""
    if source.n <= MAX_N or FORMATS[parameters.format].parts is not None:
        return
    field = {SEED_RANGE: "n", SEEDS: "seeds", LATENTS: "latents"}[source.kind]
    others = " or ".join(x.name for x in FORMATS.values() if x.parts)
    wanted = f"at most {MAX_N} in a {parameters.format}; {others} have up to {most}"
    raise InvalidRequest(field, Words(f"{source.n} images"), wanted)


def _parameters(body: dict[str, Any], accept: str | None) -> ImageParameters:
    plain = _format(body, accept)
    if "scale" not in body and "filter" not in body:
        return plain
    scale, chosen = whole(body, "scale", 1, 1, MOST), body.get("filter", "nearest")
    if not isinstance(chosen, str) or chosen not in FILTERS:
        raise InvalidRequest("filter", chosen, " or ".join(f'"{x}"' for x in FILTERS))
    return ImageParameters(plain.format, scale, chosen)


def _format(values: Mapping[str, Any], accept: str | None) -> ImageParameters:
    """Return the parameters of images in the format that ``values`` name, or ``accept``."""
    name = values["format"] if "format" in values else accepted_format(accept, BY_ACCEPT)
    plain = PLAIN.get(name) if isinstance(name, str) else None
    if plain is None:
        raise InvalidRequest("format", name, " or ".join(f'"{x}"' for x in FORMATS))
    return plain


def _image_shape(model: Entry) -> list[int]:
    assert model.manifest is not None  # find has seen to it
    return model.manifest.image.shape


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and type(value) is not str:
        raise InvalidRequest(name, value, "a text, such as those of POST /v2/repository/index")
    return value
