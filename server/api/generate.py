"""The core that every protocol calls: rows become images, and images the bytes of an answer.

Nothing here knows of HTTP.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from server.codecs.formats import Format
from server.ipc.catalog import Entry
from server.ipc.messages import Source
from server.observability import metrics
from server.worker.engine_client import EngineClient
from server.worker.request_terms import RequestTerms

INLINE_ROWS = 64
"""More images than this are encoded in a thread: other requests of the worker need not wait."""


@dataclass(slots=True)
class Timings:
    """How long the steps of a request took, in seconds and in their order."""

    queue_s: float
    infer_s: float
    encode_s: float

    def steps(self) -> dict[str, float]:
        """Return the seconds by the names that traces have for the steps."""
        return {"queue": self.queue_s, "infer": self.infer_s, "encode": self.encode_s}


@dataclass(slots=True)
class EncodedAnswer:
    """The images of a request as bytes, which model drew them, and how long that took."""

    body: bytes
    model: str
    """The model that drew, as ``name/version``."""
    timings: Timings


class ImageService:
    """Generates images for one protocol, encodes them, and counts them as that protocol's.

    ``formats`` are the formats in which the protocol answers.
    """

    def __init__(self, client: EngineClient, protocol: str, formats: Iterable[Format]) -> None:
        self._client = client
        self._protocol = protocol
        self._models: dict[tuple[str, str], tuple[str, Any]] = {}
        """The full name of each model that drew, and the counter of its images."""
        self._timers = {name: metrics.ENCODE_SECONDS.labels(name) for name, *_ in formats}
        """A histogram of the encoding's seconds for each format, by its name."""

    def answer(
        self,
        source: Source,
        terms: RequestTerms,
        form: Format,
        name: str | None = None,
        version: str | None = None,
    ) -> EncodedAnswer:
        """Draw an image of each row of ``source``, encode them in the format ``form``, count them.

        The default model draws where there is no ``name``, the newest version of the model where
        there is no ``version``.

        Raises:
            ModelNotFound, ModelUnavailable: there is nothing to draw with.
            ServingError: the engine refused, failed, or is not there.
        """
        with self._client.generate(source, terms, name, version) as generated:
            began = perf_counter()
            if source.n <= INLINE_ROWS:
                body = form.encode(generated.images)
            else:
                body = self._client.loop.in_thread(form.encode, generated.images)
            encode_s = perf_counter() - began
        self._timers[form.name].observe(encode_s)
        timings = Timings(generated.queue_s, generated.infer_s, encode_s)
        return EncodedAnswer(body, self.count(generated.model, source.n), timings)

    def count(self, model: Entry, images: int) -> str:
        """Count images that ``model`` drew, and return its name, ``name/version``."""
        key = model.name, model.version
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = str(model), metrics.IMAGES.labels(*key, self._protocol)
        name, counter = known
        counter.inc(images)
        return name
