"""The form of a restoration: a photograph, perhaps a mask, and how the search is to search."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from inversion.losses import LOSSES
from inversion.search import MOST_RESTARTS, MOST_STEPS, Settings
from server.api.body import read_body
from server.bundle.latents import SEEDS
from server.errors import InvalidRequest, UnsupportedMedia, Words

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORM = "multipart/form-data"
FILES = ("photo", "mask")
TEXTS = ("steps", "restarts", "loss", "seed", "model", "version")
MOST_TEXT = 256 * 1024
"""The bytes of all fields that are no files, at most. Werkzeug reads files, too, through a buffer
of this size, in pieces of 64 KiB."""
DEFAULTS = Settings()


@dataclass(frozen=True)
class Wanted:
    """What a form asks for."""

    photo: bytes
    mask: bytes | None
    settings: Settings
    loss: str
    """One of ``inversion.losses.LOSSES``."""
    model: str | None
    version: str | None


def read_form(environ: "WSGIEnvironment") -> Wanted:
    """Return what the form in the body of a request asks for.

    Raises:
        UnsupportedMedia: the body is no form with files, or is compressed.
        InvalidRequest: a field is missing, there twice, not known, or of a wrong value.
    """
    texts, files = _fields(environ)
    if "photo" not in files:
        raise InvalidRequest("photo", Words("missing"), "a PNG, JPEG or WebP file")
    loss = texts.get("loss", "pyramid")
    if loss not in LOSSES:
        raise InvalidRequest("loss", loss, " or ".join(LOSSES))
    settings = Settings(
        steps=_whole(texts, "steps", DEFAULTS.steps, 1, MOST_STEPS),
        restarts=_whole(texts, "restarts", DEFAULTS.restarts, 1, MOST_RESTARTS),
        seed=_whole(texts, "seed", 0, 0, SEEDS - 1),
    )
    model, version = texts.get("model"), texts.get("version")
    return Wanted(files["photo"], files.get("mask"), settings, loss, model, version)


def _fields(environ: "WSGIEnvironment") -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the texts and the files of a form, each of which may be there once."""
    content_type = environ.get("CONTENT_TYPE", "")
    kind, options = parse_options_header(content_type)
    if kind != FORM or not options.get("boundary"):
        raise UnsupportedMedia("Content-Type", content_type, FORM)
    body = read_body(environ)
    parser = FormDataParser(
        lambda *_, **__: io.BytesIO(), MOST_TEXT, len(FILES) + len(TEXTS), silent=False
    )
    try:
        _, form, attached = parser.parse(io.BytesIO(body), kind, len(body), options)
    except (ValueError, RequestEntityTooLarge) as error:
        raise InvalidRequest("body", Words(f"{len(body)} bytes"), f"a form: {error}") from error
    texts, files = form.to_dict(flat=False), attached.to_dict(flat=False)
    counts = {name: len(values) for name, values in texts.items()}
    for name, count in (*counts.items(), *((name, len(x)) for name, x in files.items())):
        if name not in (FILES if name in files else TEXTS):
            told = f"the files {', '.join(FILES)}, and the fields {', '.join(TEXTS)}"
            raise InvalidRequest("field", name, told)
        if count > 1:
            raise InvalidRequest(name, Words("there twice"), "one value")
    read = {name: values[0].stream.read() for name, values in files.items()}
    return {name: values[0] for name, values in texts.items()}, read


def _whole(texts: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = texts.get(name, str(default))
    if text.isascii() and text.isdecimal() and len(text) <= 20 and low <= int(text) <= high:
        return int(text)
    raise InvalidRequest(name, text, f"a whole number from {low} to {high}")
