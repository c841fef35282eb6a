"""The core that every protocol calls: rows become images, and images the bytes of an answer.

Nothing here knows of HTTP.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from server.api.sources import MAX_N
from server.bundle.classes import Named, NamedEach
from server.codecs.formats import Format
from server.ipc.catalog import Entry
from server.ipc.sources import Source
from server.observability import metrics
from server.worker.engine_client import EngineClient
from server.worker.event_loop import Task
from server.worker.generated import Generated
from server.worker.request_terms import RequestTerms

INLINE_ROWS = 64
INLINE_VALUES = INLINE_ROWS * 32 * 32 * 3
"""More than so many images of 32x32 pixels in three channels, or other images of more values, are
encoded in a thread: other requests of the worker need not wait. Formats that take longer than PNG
count for more."""
SERVER_TIMING = "queue;dur=%.3f, infer;dur=%.3f, encode;dur=%.3f"
"""An f-string takes a quarter longer."""


@dataclass(slots=True)
class Timings:
    """How long the steps of a request took, in seconds and in their order."""

    queue_s: float
    infer_s: float
    encode_s: float
    images: int = 1
    """The number of images that the answer has."""

    def steps(self) -> dict[str, float]:
        """Return the seconds by the names that traces have for the steps."""
        return {"queue": self.queue_s, "infer": self.infer_s, "encode": self.encode_s}

    def in_header(self) -> str:
        """Return the steps as the header field Server-Timing has them, in milliseconds."""
        return SERVER_TIMING % (self.queue_s * 1e3, self.infer_s * 1e3, self.encode_s * 1e3)

    def __add__(self, other: "Timings") -> "Timings":
        """Return how long the steps took of two that were drawn one after the other."""
        return Timings(
            self.queue_s + other.queue_s,
            self.infer_s + other.infer_s,
            self.encode_s + other.encode_s,
            self.images,
        )


@dataclass(slots=True)
class EncodedAnswer:
    """The images of a request as bytes, who drew them, and how long that took."""

    body: bytes
    model: str
    """The model that drew, as ``name/version``."""
    plan: str
    """The plan with which the model drew, as ``provider/precision``."""
    timings: Timings
    entry: Entry
    """The model that drew."""


class ImageService:
    """Generates images for one protocol, encodes them, and counts them as that protocol's.

    ``formats`` are the formats in which the protocol answers, and ``most_images`` are the images
    that a request may ask for. ``begin`` runs a function with arguments as a task; without it no
    answer is sent while it is made.
    """

    def __init__(
        self,
        client: EngineClient,
        protocol: str,
        formats: Iterable[Format],
        most_images: int = MAX_N,
        begin: Callable[..., Task] | None = None,
    ) -> None:
        self.most_images = most_images
        self.begin = begin
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
        named: Named | NamedEach = None,
    ) -> EncodedAnswer:
        """Draw an image of each row of ``source``, encode them in the format ``form``, count them.

        The default model draws where there is no ``name``, the newest version of the model where
        there is no ``version``. The images are of the class ``named``, or each of its own if a list
        or an array names them, or of their seeds' own. Encoding counts against no deadline: images
        that were drawn in time are not thrown away.

        Raises:
            ModelNotFound, ModelUnavailable: there is nothing to draw with.
            NotOffered: the format is one of float images, which the model does not draw.
            InvalidRequest: the model has no such class.
            ServingError: the engine refused, failed, or is not there.
        """
        generated = self._client.generate(source, terms, name, version, named, form.of_floats)
        return self._encoded(generated, form)

    def answer_with(
        self,
        model: Entry,
        source: Source,
        terms: RequestTerms,
        form: Format,
        named: Named | NamedEach = None,
    ) -> EncodedAnswer:
        """Draw, encode and count images as ``answer`` does, with the bundle ``model`` alone.

        Raises:
            ModelGone: it is not served any more.
            ServingError: see ``answer``.
        """
        return self._encoded(self.generate_with(model, source, terms, named), form)

    def _encoded(self, generated: Generated, form: Format) -> EncodedAnswer:
        with generated:
            count = len(generated.images)
            body, encode_s = self.encode(form.encode, generated.images, form.weight)
        self._timers[form.name].observe(encode_s)
        timings = Timings(generated.queue_s, generated.infer_s, encode_s, count)
        model = self.count(generated.model, count)
        return EncodedAnswer(body, model, generated.plan, timings, generated.model)

    def encode(
        self, encode: Callable[..., bytes], images: NDArray[Any], weight: int
    ) -> tuple[bytes, float]:
        """Return what ``encode`` makes of ``images``, and how many seconds that took.

        It takes about ``weight`` times as long as a PNG.
        """
        began = perf_counter()
        if images.size * weight <= INLINE_VALUES:
            body = encode(images)
        else:
            body = self._client.loop.in_thread(encode, images)
        return body, perf_counter() - began

    def observe(self, form: Format, encode_s: float) -> None:
        """Note in the metrics how many seconds the encoding of an answer took."""
        self._timers[form.name].observe(encode_s)

    def generate_with(
        self, model: Entry, source: Source, terms: RequestTerms, named: Named | NamedEach
    ) -> Generated:
        """Draw images with the bundle ``model`` alone, see ``EngineClient.generate_with``."""
        return self._client.generate_with(model, source, terms, named)

    def pause(self, seconds: float) -> None:
        """Return in so many seconds; other callers are served meanwhile."""
        loop = self._client.loop
        waiter = loop.waiter()
        stop = loop.call_later(seconds, waiter.wake, None)
        try:
            waiter.wait()
        finally:
            stop()

    def find(self, name: str | None = None, version: str | None = None) -> Entry:
        """Return the bundle that would draw.

        Raises:
            ModelNotFound, ModelUnavailable, EngineUnavailable: there is none.
        """
        return self._client.find(name, version)

    def plans_of(self, model: Entry) -> list[str]:
        """Return the plans with which ``model`` is drawn now: several if the engines differ."""
        return self._client.plans_of(model)

    def count(self, model: Entry, images: int) -> str:
        """Count images that ``model`` drew, and return its name, ``name/version``."""
        key = model.name, model.version
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = str(model), metrics.IMAGES.labels(*key, self._protocol)
        name, counter = known
        counter.inc(images)
        return name
