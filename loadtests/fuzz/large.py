"""Cases of answers of more images than are made at once, which are sent while the engine draws."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Images, Request

WHOLE = 4096
"""The images of the largest answer that is made as a whole."""
FORMATS = ("npy", "raw", "tar", "tar.jpg")
"""The formats that are streamed, but for JSON, of which an answer has 40 MB."""
REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("too many", {"n": 65_537, "format": "npy"}),
    ("PNG", {"n": WHOLE + 1, "format": "png"}),
    ("JPEG", {"n": WHOLE + 1, "format": "jpeg"}),
    ("WebP", {"n": 65_536, "format": "webp"}),
    ("beyond the last seed", {"n": WHOLE + 1, "seed": 2**64 - WHOLE, "format": "raw"}),
    ("too many pixels", {"n": WHOLE + 1, "scale": 32, "format": "raw"}),
    ("a class", {"n": WHOLE + 1, "class": 0, "format": "npy"}),
    ("truncation", {"n": WHOLE + 1, "truncation": 0, "format": "tar"}),
    ("seeds beside n", {"n": WHOLE + 1, "seeds": [1], "format": "npy"}),
    ("too many seeds", {"seeds": [7] * 65_537, "format": "raw"}),
    ("a seed that is none", {"seeds": [*range(WHOLE), -1], "format": "npy"}),
)
"""Bodies that ask for large answers which cannot be given."""


def streamed(maker: Maker) -> Request:
    """Return a right request for images that are streamed, of a few kinds, so that few are kept."""
    format_ = maker.rng.choice(FORMATS)
    request = posted(maker, f"streamed: {format_}")
    request.images = Images(3, WHOLE + maker.rng.choice((1, 513)), format_)
    wanted = {"n": request.images.n, "seed": request.images.seed, "format": format_}
    request.owes(ANSWER, (200, 503, 504))  # slow machines take longer than the first part may
    return request.with_body(json.dumps(wanted).encode())


def refused(maker: Maker) -> Request:
    """Return a request for more images than an answer may have, or with something odd besides."""
    name, wanted = maker.rng.choice(REFUSED)
    request = posted(maker, f"streamed: refused: {name}").owes(ANSWER, (400,))
    return request.with_body(json.dumps(wanted).encode())


def posted(maker: Maker, kind: str) -> Request:
    """Return a request for images without its body."""
    request = maker.request(kind, "POST", "/v1/images")
    request.fields.append(b"Content-Type: application/json")
    return request


CASES: dict[Callable[[Maker], Request], int] = {streamed: 1, refused: 2}
"""The cases, and how often each comes in relation to the others."""
