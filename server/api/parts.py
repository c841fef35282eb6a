"""One part of the images of a large request: which rows it has, and how it is drawn.

A part is a request to the engines of its own, with a deadline of its own.
"""

from math import prod
from time import monotonic

from server.api.generate import ImageService, Timings
from server.api.image_request import ImageRequest
from server.api.parameters import seeds_of
from server.bundle.classes import Named, NamedEach
from server.errors import InvalidRequest, PlanGone, QueueFull
from server.ipc.catalog import Entry
from server.ipc.sources import Latents, SeedRange, Seeds, Source
from server.worker.generated import Generated
from server.worker.model_fit import row_bytes
from server.worker.request_terms import RequestTerms

PART_ROWS = 512
"""The images of a part at most."""
PART_BYTES = PART_ROWS * 32 * 32 * 3
"""The bytes of a part's images, and of what is given for them, unless one image has more."""
LEAST_WAIT_S = 0.05
"""The seconds after which an engine that has refused a part is asked again, at least."""


def image_bytes(model: Entry) -> int:
    """Return the bytes of an image that ``model`` draws."""
    assert model.manifest is not None  # find has seen to it
    return prod(model.manifest.image.shape)


def part_rows(source: Source, model: Entry, named: Named | NamedEach) -> int:
    """Return how many rows of ``source`` make a part that ``model`` draws.

    Raises:
        InvalidRequest: the latents are none of the model's, or so many need a class.
    """
    assert model.manifest is not None  # find has seen to it
    size = image_bytes(model) + row_bytes(source.given, model)
    rows = min(PART_ROWS, max(1, PART_BYTES // size))
    classes = len(model.manifest.classes)
    if named is not None or not classes or not isinstance(source, Latents):
        return rows
    if classes > rows:  # the class of a row is its number, modulo the number of classes
        wanted = f"one, as {source.n} latents of {classes} classes are too many to have their own"
        raise InvalidRequest("class", None, wanted)
    return rows // classes * classes


def part_of(source: Source, start: int, rows: int) -> Source:
    """Return ``rows`` rows of ``source`` from ``start`` on, or as many as are left there."""
    if isinstance(source, SeedRange):
        left = min(rows, source.n - start)
        return SeedRange(source.seed + start, left, source.truncation)
    if isinstance(source, Seeds):
        return Seeds(source.seeds[start : start + rows], source.truncation)
    return Latents(source.rows[start : start + rows])


def named_in(named: Named | NamedEach, start: int, rows: int) -> Named | NamedEach:
    """Return the class of the ``rows`` images from ``start`` on, or those of a class for each."""
    return named if named is None or isinstance(named, int | str) else named[start : start + rows]


class PartDrawer:
    """Draws the parts of ``wanted`` with the bundle ``model``, all with one plan.

    Raises:
        InvalidRequest: see ``part_rows``.
    """

    def __init__(
        self, service: ImageService, wanted: ImageRequest, model: Entry, terms: RequestTerms
    ) -> None:
        self.model = model
        self.rows = part_rows(wanted.source, model, wanted.named)
        """The images of each part but the last."""
        self.plan = ""
        """The plan that has drawn the first part."""
        self.timings = Timings(0.0, 0.0, 0.0, wanted.source.n)
        """How long the first part has waited, and how long all have taken besides."""
        self._service = service
        self._wanted = wanted
        self._terms = terms

    def part(self, start: int) -> Source:
        """Return the rows of the part that begins with row ``start``."""
        return part_of(self._wanted.source, start, self.rows)

    def draw(self, start: int) -> bytes:
        """Return the images of the part that begins with row ``start``, encoded.

        Raises:
            ModelGone, PlanGone: no engine has the bundle, or draws with the plan, any more.
            ServingError: the part cannot be drawn in time.
        """
        part, caller = self.part(start), self._terms.caller
        if caller is None:
            generated = self._generated(part, start)
        else:
            generated = caller.charge(part.n, lambda: self._generated(part, start))
        form = self._wanted.parameters.file_format
        assert form.parts is not None  # is_streamed has seen to it
        written, seeds = form.parts.images, seeds_of(part)
        with generated:
            body, encode_s = self._service.encode(
                lambda images: written(images, seeds, start), generated.images, form.weight
            )
        self.timings.queue_s = self.timings.queue_s or generated.queue_s
        self.timings.infer_s += generated.infer_s
        self.timings.encode_s += encode_s
        self._service.count(self.model, part.n)
        return body

    def _generated(self, part: Source, start: int) -> Generated:
        """Return the images of ``part``, from row ``start`` on, drawn with the first one's plan.

        An engine that refuses a part for now is asked again until the part's deadline.
        """
        terms = self._terms._replace(caller=None)
        named = named_in(self._wanted.named, start, part.n)
        deadline = monotonic() + terms.timeout_s
        while True:
            left_s = deadline - monotonic()
            try:
                own = terms._replace(timeout_s=left_s)
                generated = self._service.generate_with(self.model, part, own, named)
            except QueueFull as full:
                wait_s = max(LEAST_WAIT_S, full.queue.retry_after_s)
                if not self.plan or wait_s >= left_s:  # the caller can ask again by itself
                    raise
                self._service.pause(wait_s)
                continue
            self.plan = self.plan or generated.plan
            if generated.plan == self.plan:
                return generated
            generated.end()
            if self.plan not in self._service.plans_of(self.model):
                raise PlanGone(self.plan)
