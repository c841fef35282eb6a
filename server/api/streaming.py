"""Answers that are sent while the engine draws: many images, at constant memory.

The images are drawn in parts, each a request to the engines of its own that lets others go first.
While one part is sent the next ones are drawn and encoded, and no more: for a caller that reads
slowly, nothing is drawn that it does not take. All parts are drawn by one bundle with one plan, or
the answer is cut off.
"""

import logging
from collections.abc import Generator, Iterator
from itertools import islice

from server.api.context import RequestContext
from server.api.generate import ImageService
from server.api.image_request import ImageRequest
from server.api.parameters import seeds_of
from server.api.parts import PartDrawer, image_bytes
from server.errors import ClientGone, ModelGone, ServingError
from server.observability import metrics
from server.worker.event_loop import Task
from server.worker.streamed import Cut, Streamed

log = logging.getLogger(__name__)

WHOLE_BYTES = 12 * 2**20
"""The bytes of images up to which an answer is made as a whole: 4,096 of 32x32 in three colors."""
AHEAD = 2
"""The parts that are drawn and encoded while one is sent. With one, the engine would wait while
that is encoded."""


def is_streamed(service: ImageService, wanted: ImageRequest) -> bool:
    """Tell whether the answer to ``wanted``, of more than one image, is sent while it is made.

    Raises:
        ModelNotFound, ModelUnavailable: there is nothing to draw with.
    """
    if wanted.in_parts is None or service.begin is None:
        return False
    model = service.find(wanted.model, wanted.version)
    return wanted.source.n * image_bytes(model) > WHOLE_BYTES


class ImageStream:
    """The images of ``wanted``, drawn and encoded part by part.

    A key is let in for all images at once, pays for each part that is drawn, and gets back what it
    has paid for parts that were not begun.
    """

    def __init__(
        self, service: ImageService, wanted: ImageRequest, context: RequestContext
    ) -> None:
        terms = context.terms()
        parts = wanted.in_parts
        assert parts is not None  # is_streamed has seen to it
        self._format = parts
        self._service = service
        self._wanted = wanted
        self._context = context
        self._caller = terms.caller
        self._terms = terms._replace(bulk=True)
        self._unpaid = 0
        """The images that the key was let in for, and that no part has begun."""
        self._tasks: list[Task] = []
        """The parts that are being made, in their order."""
        self.drawer: PartDrawer
        """What draws the parts, once the first one is there."""

    def begin(self) -> Streamed:
        """Draw the first part, and return the body of the answer.

        Raises:
            InvalidRequest: the images do not fit the model, or are too many for the key.
            ServingError: the first part cannot be drawn.
        """
        source, seeds = self._wanted.source, seeds_of(self._wanted.source)
        first = None
        while first is None:
            first = self._first_part()
        shape = self._wanted.shape(self.drawer.model)
        head = self._format.head(shape, seeds)
        rows = self.drawer.rows
        ahead = min(AHEAD * rows, source.n - rows) * image_bytes(self.drawer.model)
        length = self._format.size(shape, seeds)
        streamed = Streamed(self._written(head + first), length, ahead, self._release)
        self._context.streamed, self._context.timings = streamed, self.drawer.timings
        return streamed

    def _first_part(self) -> bytes | None:
        """Return the first part; None if the model that was to draw is not there any more."""
        wanted = self._wanted
        if self._caller is not None:
            self._caller.begin(wanted.source.n)
            self._unpaid = wanted.source.n
        try:
            model = self._service.find(wanted.model, wanted.version)
            wanted.check_size(model)
            self.drawer = PartDrawer(self._service, wanted, model, self._terms)
            return self._part(0)
        except BaseException as error:
            self._give_back()
            if isinstance(error, ModelGone):
                return None
            raise

    def _part(self, start: int) -> bytes:
        if self._caller is not None:
            self._unpaid -= self.drawer.part(start).n
        return self.drawer.draw(start)

    def _written(self, first: bytes) -> Generator[bytes, None, None]:
        """Yield the bytes of the answer, which begins with ``first``.

        Raises:
            Cut: a part cannot be drawn.
        """
        n, rows = self._wanted.source.n, self.drawer.rows
        starts = iter(range(rows, n, rows))
        self._begin_next(starts, AHEAD)
        yield first
        try:
            while self._tasks:
                body = self._tasks[0].result()
                del self._tasks[0]
                self._begin_next(starts, 1)
                yield self._format.between + body
        except ClientGone as error:
            raise Cut from error
        except ServingError as error:
            log.error("an answer of %d images is cut off: %s", n, error)
            metrics.CONNECTIONS_ENDED.labels("cut").inc()
            raise Cut from error
        except Exception as error:
            log.exception("an answer of %d images is cut off", n)
            metrics.CONNECTIONS_ENDED.labels("cut").inc()
            raise Cut from error
        if self._format.tail:
            yield self._format.tail

    def _begin_next(self, starts: Iterator[int], count: int) -> None:
        begin = self._service.begin
        assert begin is not None  # without it nothing is streamed
        self._tasks += [begin(self._part, start) for start in islice(starts, count)]

    def _release(self) -> None:
        """End what has not ended, and give the key back what it has not used."""
        for task in self._tasks:
            task.cancel()
        self._give_back()
        if timings := self._context.timings:
            self._service.observe(self._wanted.parameters.file_format, timings.encode_s)

    def _give_back(self) -> None:
        """Give the key back what it has paid for parts that were not begun."""
        if self._caller is not None:
            self._caller.refund(self._unpaid)
            self._unpaid = 0
