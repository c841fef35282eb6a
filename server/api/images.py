"""Our own interface: an image's name is its seed."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
import numpy as np
from flask import Blueprint, Response, request
from numpy.typing import NDArray

from server.bundle.latents import SEEDS
from server.codecs import archive, png
from server.config import ServerConfig
from server.errors import InvalidRequest
from server.ipc.catalog import Entry
from server.observability import metrics, tracing
from server.worker.engine_client import EngineClient
from server.worker.request_terms import RequestTerms

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ROUTE = "/v1/images/<seed>.png"
MANY = "/v1/images"
VERSIONED = "/v1/models/<name>/versions/<version>/images/<seed>.png"
ERROR = "carfront.error"
"""Where the short cut leaves a bug's error, for Flask to render and log."""
MAX_N = 4096
"""Images of one request."""
LONGEST_MS = 3_600_000
"""A caller may not ask for a longer wait than an hour."""
PRIORITIES = {"interactive": False, "bulk": True}
"""Whether a request lets others go first, by what its header says."""
INLINE_ROWS = 64
"""More images than this are encoded in a thread: other requests of the worker need not wait."""


@dataclass(frozen=True)
class Format:
    """One way to write images down."""

    mimetype: str
    encode: Callable[[NDArray[np.uint8]], bytes]


MEMBERS = ("n", "seed", "format", "model", "version")
"""Of the body of ``POST /v1/images``."""
FORMATS = {
    "png": Format("image/png", png.png_bytes),
    "npy": Format("application/x-npy", archive.npy_bytes),
}


class Draw(NamedTuple):
    """What the body of ``POST /v1/images`` asks for."""

    n: int
    seed: int
    format: str
    model: str | None = None
    """None is the server's default model,"""
    version: str | None = None
    """and the model's newest version that is served."""

    @classmethod
    def from_json(cls, body: Any) -> "Draw":
        """Check ``body`` and fill in what it leaves out: one image, a random seed, PNG.

        Raises:
            InvalidRequest: a member is unknown, of the wrong type or out of range.
        """
        if not isinstance(body, dict):
            raise InvalidRequest("body", body, 'a JSON object such as {"n": 4, "seed": 7}')
        for name in body:
            if name not in MEMBERS:
                raise InvalidRequest(str(name), body[name], f"the members {', '.join(MEMBERS)}")
        n = _whole(body, "n", 1, 1, MAX_N)
        any_seed = 0 if "seed" in body else secrets.randbelow(SEEDS - n + 1)
        seed = _whole(body, "seed", any_seed, 0, SEEDS - 1)
        if seed + n > SEEDS:
            raise InvalidRequest("seed", seed, f"at most {SEEDS - n}, so that {n} images follow")
        name = body.get("format", "png")
        if not isinstance(name, str) or name not in FORMATS:
            raise InvalidRequest("format", name, " or ".join(f'"{x}"' for x in FORMATS))
        return cls(n, seed, name, _text(body, "model"), _text(body, "version"))


class Drawn(NamedTuple):
    """An answer: the bytes of some images, and the headers that go with them."""

    body: bytes
    headers: list[tuple[str, str]]


class Artist:
    """Draws what was asked for, encodes it, and counts it; every way in shares it."""

    def __init__(self, config: ServerConfig, client: EngineClient) -> None:
        self._client = client
        self._timeout_s = config.request_timeout_s
        self._images: dict[str, Any] = {}
        """How many each model drew, by ``name/version``."""
        self._timers = {name: metrics.ENCODE_SECONDS.labels(name) for name in FORMATS}

    def draw(self, wanted: Draw, environ: "WSGIEnvironment") -> Drawn:
        """Return the images of ``wanted``, on the terms that the request's headers state.

        Raises:
            InvalidRequest: a header has a value that cannot be served.
            ModelNotFound, ModelUnavailable: there is nothing to draw with.
            ServingError: the engine refused, failed, or is not there.
        """
        form = FORMATS[wanted.format]
        terms = terms_of(environ, self._timeout_s)
        with self._client.generate(
            wanted.seed, wanted.n, terms, wanted.model, wanted.version
        ) as generated:
            began = time.perf_counter()
            if wanted.n <= INLINE_ROWS:
                body = form.encode(generated.images)
            else:
                body = gevent.get_hub().threadpool.apply(form.encode, (generated.images,))
            encode_s = time.perf_counter() - began
        self._timers[wanted.format].observe(encode_s)
        model = self._count(generated.model, wanted.n)
        tracing.tell_steps(
            environ, queue=generated.queue_s, infer=generated.infer_s, encode=encode_s
        )
        timing = (
            f"queue;dur={generated.queue_s * 1e3:.3f}, infer;dur={generated.infer_s * 1e3:.3f}, "
            f"encode;dur={encode_s * 1e3:.3f}"
        )
        headers = [
            ("Content-Type", form.mimetype),
            ("Content-Length", str(len(body))),
            ("Carfront-Model", model),
            ("Carfront-Seed", str(wanted.seed)),
            ("Server-Timing", timing),
        ]
        return Drawn(body, headers)

    def _count(self, entry: Entry, images: int) -> str:
        """Count what a model drew, and return its name."""
        name = str(entry)
        counter = self._images.get(name)
        if counter is None:
            counter = metrics.IMAGES.labels(entry.name, entry.version, "images")
            self._images[name] = counter
        counter.inc(images)
        return name


def blueprint(artist: Artist) -> Blueprint:
    """Return the routes that draw."""
    routes = Blueprint("images", __name__)

    def answer(wanted: Draw) -> Response:
        drawn = artist.draw(wanted, request.environ)
        return Response(drawn.body, headers=drawn.headers)

    @routes.before_request
    def fail_as_before() -> None:
        if error := request.environ.get(ERROR):
            raise error

    @routes.get(ROUTE)
    def image(seed: str) -> Response:
        return answer(Draw(1, parse_seed(seed), "png"))

    @routes.get(VERSIONED)
    def versioned(name: str, version: str, seed: str) -> Response:
        return answer(Draw(1, parse_seed(seed), "png", name, version))

    @routes.post(MANY)
    def images() -> Response:
        return answer(Draw.from_json(request.get_json()))

    return routes


def terms_of(environ: "WSGIEnvironment", timeout_s: float) -> RequestTerms:
    """Return on which terms a request is made; ``timeout_s`` is for one that does not say.

    Raises:
        InvalidRequest: ``X-Request-Timeout-Ms`` or ``Carfront-Priority`` has an unknown value.
    """
    text = environ.get("HTTP_X_REQUEST_TIMEOUT_MS")
    if text is not None:
        if not (
            text.isascii() and text.isdecimal() and len(text) <= 9 and 0 < int(text) <= LONGEST_MS
        ):
            wanted = f"a whole number of milliseconds from 1 to {LONGEST_MS}"
            raise InvalidRequest("X-Request-Timeout-Ms", text, wanted)
        timeout_s = int(text) / 1000
    priority = environ.get("HTTP_CARFRONT_PRIORITY", "interactive")
    if priority not in PRIORITIES:
        raise InvalidRequest("Carfront-Priority", priority, " or ".join(PRIORITIES))
    peer = environ.get("gunicorn.sock")
    return RequestTerms(timeout_s, PRIORITIES[priority], peer.fileno() if peer else None)


def parse_seed(text: str) -> int:
    """Return the seed that ``text`` writes in decimal.

    Raises:
        InvalidRequest: it is not a whole number from 0 to 2^64 - 1.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < SEEDS):
        raise InvalidRequest("seed", text, f"a whole number from 0 to {SEEDS - 1}")
    return int(text)


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
