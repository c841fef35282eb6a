"""Our own interface: an image's name is its seed."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Blueprint, Response, request
from numpy.typing import NDArray

from server import codecs, metrics
from server.bundle import Manifest
from server.config import ServerConfig
from server.engine.client import EngineClient
from server.errors import InvalidRequest
from server.latents import SEEDS

MAX_N = 4096
"""Images of one request."""


@dataclass(frozen=True)
class Format:
    """One way to write images down."""

    mimetype: str
    encode: Callable[[NDArray[np.uint8]], bytes]


FORMATS = {
    "png": Format("image/png", codecs.png_bytes),
    "npy": Format("application/x-npy", codecs.npy_bytes),
}


@dataclass(frozen=True)
class Draw:
    """What the body of ``POST /v1/images`` asks for."""

    n: int
    seed: int
    format: str

    @classmethod
    def from_json(cls, body: Any) -> "Draw":
        """Check ``body`` and fill in what it leaves out: one image, a random seed, PNG.

        Raises:
            InvalidRequest: a member is unknown, of the wrong type or out of range.
        """
        if not isinstance(body, dict):
            raise InvalidRequest("body", body, 'a JSON object such as {"n": 4, "seed": 7}')
        for name in body:
            if name not in ("n", "seed", "format"):
                raise InvalidRequest(str(name), body[name], 'the members "n", "seed", "format"')
        n = _whole(body, "n", 1, 1, MAX_N)
        seed = _whole(body, "seed", secrets.randbelow(SEEDS - n + 1), 0, SEEDS - 1)
        if seed + n > SEEDS:
            raise InvalidRequest("seed", seed, f"at most {SEEDS - n}, so that {n} images follow")
        name = body.get("format", "png")
        if not isinstance(name, str) or name not in FORMATS:
            raise InvalidRequest("format", name, " or ".join(f'"{x}"' for x in FORMATS))
        return cls(n, seed, name)


def blueprint(config: ServerConfig, manifest: Manifest, client: EngineClient) -> Blueprint:
    """Return the routes below /v1/images."""
    routes = Blueprint("images", __name__)
    timeout_s = config.request_timeout_s
    counter = metrics.IMAGES.labels(manifest.name, manifest.version)
    timers = {name: metrics.ENCODE_SECONDS.labels(name) for name in FORMATS}

    def answer(draw: Draw) -> Response:
        with client.generate(draw.seed, draw.n, timeout_s) as generated:
            began = time.perf_counter()
            body = FORMATS[draw.format].encode(generated.images)
            encode_s = time.perf_counter() - began
        timers[draw.format].observe(encode_s)
        counter.inc(draw.n)
        response = Response(body, mimetype=FORMATS[draw.format].mimetype)
        response.headers["Carfront-Seed"] = str(draw.seed)
        response.headers["Server-Timing"] = (
            f"queue;dur={generated.queue_s * 1e3:.3f}, infer;dur={generated.infer_s * 1e3:.3f}, "
            f"encode;dur={encode_s * 1e3:.3f}"
        )
        return response

    @routes.get("/v1/images/<seed>.png")
    def image(seed: str) -> Response:
        return answer(Draw(1, parse_seed(seed), "png"))

    @routes.post("/v1/images")
    def images() -> Response:
        return answer(Draw.from_json(request.get_json()))

    return routes


def parse_seed(text: str) -> int:
    """Return the seed that ``text`` writes in decimal.

    Raises:
        InvalidRequest: it is not a whole number from 0 to 2^64 - 1.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < SEEDS):
        raise InvalidRequest("seed", text, f"a whole number from 0 to {SEEDS - 1}")
    return int(text)


def _whole(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidRequest(name, value, f"a whole number from {low} to {high}")
    return value
