"""What a run knows of its server before it begins, and makes its conversations with."""

import http.client
import json
import struct
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from random import Random
from urllib.parse import urlsplit

from loadtests.fuzz.caller import ANSWER_S
from loadtests.fuzz.calls import CallMaker
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.odd_values import OddValues

LATENTS = 24
"""The number of seeds whose latents are sent."""


@dataclass(frozen=True)
class Known:
    """The facts that decide about all conversations: the same facts make the same ones."""

    seed: int
    odd: OddValues
    version: str
    """The version of the model that answers those who name none."""
    tag: str = '"none"'
    """The entity tag of the image of seed 7."""
    latents: tuple[bytes, ...] = ()
    """The latents of the seeds from 0 on, as the bytes of their numbers."""
    key: bytes = b""
    """The key of right requests; an empty one is none."""

    @classmethod
    def of(cls, url: str, seed: int, key: bytes = b"") -> "Known":
        """Return what is known of the server at ``url``.

        An HTTP worker that is still looking for the engine knows no plan, and so no tag.
        """
        tag = None
        while tag is None:
            tag = _asked(url, "HEAD", "/v1/images/7.png", key)[0]["ETag"]
        version = str(json.loads(_asked(url, "GET", "/", key)[1])["version"])
        latents = tuple(_latents(url, row, key) for row in range(LATENTS))
        return cls(seed, OddValues.of(seed), version, tag, latents, key)

    def maker(self, number: int) -> Maker:
        """Return what makes the requests of the conversation of that ``number``."""
        return Maker(*self._facts(number), self.version, self.tag, self.key)

    def call_maker(self, number: int) -> CallMaker:
        """Return what makes the calls of the conversation of that ``number``."""
        facts = *self._facts(number), self.version, self.tag, self.key
        return CallMaker(*facts, latents=self.latents)

    def _facts(self, number: int) -> tuple[str, Random, OddValues]:
        return f"fuzz-{number}", Random(f"{self.seed}.{number}"), self.odd


def _latents(url: str, seed: int, key: bytes) -> bytes:
    (row,) = json.loads(_asked(url, "GET", f"/v1/latents/{seed}", key)[1])["latents"]
    return struct.pack(f"<{len(row)}f", *row)


def _asked(url: str, method: str, path: str, key: bytes) -> tuple[Message, bytes]:
    """Return the header fields and the body of an answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
    with closing(connection):
        connection.request(method, path, headers={"X-API-Key": key} if key else {})
        response = connection.getresponse()
        return response.headers, response.read()
