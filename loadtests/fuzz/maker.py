"""What all cases make their requests with: one source of chance, ids, and good requests."""

import json
from dataclasses import dataclass, field
from random import Random

from loadtests.fuzz.odd_values import OddValues
from loadtests.fuzz.request import SMUGGLED, Images, Request

SEEDS = 64
"""The number of seeds whose single images are asked for."""
FORMATS = ("png", "jpeg", "webp", "npy", "tar", "json", "raw")
"""The formats of the requests for several."""
BATCHES = (1, 2, 3, 8, 9, 16, 33)
"""The numbers of images of the requests for several."""
HUGE = 0.001
"""The part of the controls for several images that ask for as many as a request may."""
TOKEN = "the-fuzzer-administers"
"""The administrator's token of the server under test."""


@dataclass
class Maker:
    """Makes the requests of one conversation, the same ones for the same ``rng``."""

    name: str
    """The name that the ids of all its requests begin with."""
    rng: Random
    odd: OddValues
    version: str
    """The version of the model that answers those who name none."""
    tag: str = '"none"'
    """The entity tag of the image of seed 7."""
    key: bytes = b""
    """The key that requests have; an empty one is none."""
    _made: int = field(default=0)

    def request_id(self) -> str:
        """Return the id of another request."""
        self._made += 1
        return f"{self.name}.{self._made}"

    def request(self, kind: str, method: str = "GET", target: str = "/healthz") -> Request:
        """Return a request that is right, with a Host and an id of its own."""
        request_id = self.request_id()
        fields = [b"Host: carfront.test", b"X-Request-Id: " + request_id.encode()]
        if self.key:
            fields.append(b"X-API-Key: " + self.key)
        return Request(kind, request_id, method.encode(), target.encode(), fields=fields)

    def single(self, kind: str) -> Request:
        """Return a request for one PNG."""
        seed = self.rng.randrange(SEEDS)
        request = self.request(kind, target=f"/v1/images/{seed}.png")
        request.images = Images(seed)
        return request

    def several(self, kind: str) -> Request:
        """Return a request for images without its body; ``document`` is the body."""
        request = self.request(kind, "POST", "/v1/images")
        fewest = self.rng.choice(BATCHES)
        format_ = self.rng.choice(FORMATS)
        request.images = Images(self.rng.randrange(4) * 1000, fewest, format_)
        request.fields.append(b"Content-Type: application/json")
        if fewest > 8:  # larger requests wait for room; on a slow machine some are refused
            request.statuses = frozenset({200, 503})
        return request

    def administration(self, kind: str, action: str, model: str = "cars-dcgan") -> Request:
        """Return an administrator's request without its body, with the token."""
        request = self.request(kind, "POST", f"/v2/repository/models/{model}/{action}")
        request.fields.append(b"Authorization: Bearer " + TOKEN.encode())
        request.fields.append(b"Content-Type: application/json")
        return request

    def control(self) -> Request:
        """Return a right request for images, whose answer must be those images."""
        if self.rng.random() < 0.7:
            return self.single("control: one PNG")
        request = self.several("control: several images")
        if self.rng.random() < HUGE:
            request.kind, request.images = "control: 4,096 images", Images(0, 4096, "npy")
            request.statuses = frozenset({200, 503, 504})  # slow machines take longer than it may
        return request.with_body(document(request))


def document(request: Request) -> bytes:
    """Return the JSON body that asks for the images of ``request``."""
    wanted = request.images
    assert wanted is not None
    return json.dumps({"n": wanted.n, "seed": wanted.seed, "format": wanted.format}).encode()


def follow_up() -> bytes:
    """Return a request that is to be read as part of a body, or not at all."""
    lines = (b"", b"0", b"", b"GET /v1/images/3.png HTTP/1.1", b"Host: x")
    return b"\r\n".join((*lines, b"X-Request-Id: " + SMUGGLED.encode(), b"", b""))
