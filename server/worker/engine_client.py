"""The client of the engines: rows become images, for many callers at a time.

Nothing here knows of gevent: waiting, timers and sockets are the ``EventLoop``'s.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidRequest,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ServingError,
)
from server.ipc.arena import Arena, SlotShape
from server.ipc.catalog import Catalog, Entry
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Changed, Message, Result, Source, Status, Told
from server.observability import metrics
from server.worker.administration import Administration
from server.worker.engine_balancer import Backend, Balancer
from server.worker.event_loop import EventLoop
from server.worker.inflight import Inflight
from server.worker.inflight_request import HUNG_UP, InflightRequest
from server.worker.request_terms import RequestTerms

OK = Status.OK
"""Looking up a member of an enum takes a tenth of a microsecond in Python 3.11."""


@dataclass(slots=True)
class Generated:
    """Images in shared memory, to be read before this context ends, and how long they took."""

    images: NDArray[np.uint8]
    """uint8 [n, H, W, C], RGB."""
    queue_s: float
    infer_s: float
    model: Entry
    """The bundle that drew the images."""
    end: Callable[[], None]
    """Gives the memory back."""

    def __enter__(self) -> "Generated":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class EngineClient:
    """Turns rows into images through the engines of ``engine_dirs``.

    ``arena_bytes`` of shared memory hold the images that are on their way; a request that finds no
    slot there waits for others to finish.
    """

    def __init__(
        self,
        engine_dirs: Sequence[EngineDir],
        arena_bytes: int,
        loop: EventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loop = loop
        self._clock = clock
        self._arena = Arena.create(arena_bytes)
        self._shapes: dict[int, SlotShape] = {}
        self._administration = Administration(loop)
        self._balancer = Balancer(
            engine_dirs, self._arena, loop, self._on_message, self._on_up, self._on_down
        )
        self._inflight = Inflight(self._balancer, self._arena, loop, clock)

    @property
    def catalog(self) -> Catalog:
        """What is served, as of now."""
        return self._balancer.catalog

    @property
    def engines(self) -> list[bool]:
        """Which engines answer: each opens its socket when the model has passed its test."""
        return [backend.connection.up for backend in self._balancer.backends]

    @property
    def ready(self) -> bool:
        """Whether an engine answers."""
        return any(self.engines)

    def waits_for(self) -> str:
        """Return why no engine answers, as far as an engine has said so; an empty text if none."""
        for backend in self._balancer.backends:
            self._balancer.reload_catalog(backend)
        entry = self.catalog.entries.get(self.catalog.default)
        return entry.reason if entry else ""

    def generate(
        self,
        source: Source,
        terms: RequestTerms,
        name: str | None = None,
        version: str | None = None,
    ) -> Generated:
        """Draw an image of each row of ``source``, to be read in the context that is returned.

        The model ``name`` draws them, the default model if there is no name; and its newest version
        if there is no ``version``.

        Raises:
            ModelNotFound, ModelUnavailable: the model cannot be drawn with.
            InvalidRequest: the arena holds fewer images.
            EngineUnavailable: no engine appeared in time.
            ClientGone: the caller hung up.
            QueueFull, DeadlineExceeded, InferenceFailed: the engine has said so.
        """
        deadline = self._clock() + terms.timeout_s
        while True:
            entry = self._find(name, version)
            request = self._begin(entry, source, terms, deadline)
            try:
                result = self._result(request, terms)
                if result.status == OK:
                    images = self._arena.images(self._shape(entry), request.offset, source.n)
                    end = partial(self._inflight.finish, request)
                    return Generated(images, result.queue_s, result.infer_s, entry, end)
            except BaseException:
                self._inflight.finish(request)
                raise
            self._inflight.finish(request)
            self._reload_catalogs(entry)

    def administer(self, action: str, name: str, version: str, timeout_s: float) -> None:
        """Have every engine ``load`` or ``unload`` a model, and wait until it is done.

        Raises:
            LoadFailed: it cannot be done.
            EngineUnavailable, DeadlineExceeded: no engine is there, or one did not answer in time.
        """
        if not self.ready:
            raise EngineUnavailable
        self._administration.ask(self._balancer.up, action, name, version, timeout_s)

    def close(self) -> None:
        """Hang up: the engine drops what this worker still waits for."""
        self._inflight.close()
        self._balancer.close()
        self._arena.close()

    # the steps of one request

    def _find(self, name: str | None, version: str | None) -> Entry:
        """Return the bundle of that name; until the engine has spoken, none is missing."""
        try:
            return self.catalog.find(name, version)
        except ModelNotFound as error:
            if self.ready:
                raise
            raise EngineUnavailable from error

    def _begin(
        self, entry: Entry, source: Source, terms: RequestTerms, deadline: float
    ) -> InflightRequest:
        """Submit a request, unless it is known already that it would be refused."""
        shape = self._shape(entry)
        most = shape.rows_in(self._inflight.most_bytes)
        if source.n > most:
            raise InvalidRequest("n", source.n, f"at most {most}: the arena holds no more")
        now = self._clock()
        if refusal := self._balancer.refusal(entry.key, source.n, terms, now):
            raise _counted(refusal.again(now))
        return self._inflight.begin(entry.key, source, shape.size(source.n), deadline, terms)

    def _result(self, request: InflightRequest, terms: RequestTerms) -> Result:
        """Return the engine's answer, which is OK or STALE, and raise any other."""
        result = self._inflight.wait(request)
        if result is None:
            raise DeadlineExceeded(terms.timeout_s) if self.ready else EngineUnavailable()
        if result is HUNG_UP:
            raise ClientGone
        if result.status != OK:
            _raise_for(result, terms.timeout_s)
        return result  # type: ignore[no-any-return]

    def _shape(self, entry: Entry) -> SlotShape:
        shape = self._shapes.get(entry.key)
        if shape is None:
            assert entry.manifest is not None  # find has seen to it
            shape = SlotShape(entry.manifest.image.shape)
            self._shapes[entry.key] = shape
        return shape

    def _reload_catalogs(self, stale: Entry) -> None:
        """Read the catalogs anew: an engine does not serve ``stale`` any more.

        Raises:
            ModelUnavailable: the catalogs still say that it does.
        """
        for backend in self._balancer.up:
            self._balancer.reload_catalog(backend)
        entry = self.catalog.entries.get(str(stale))
        if entry is not None and entry.key == stale.key:
            raise ModelUnavailable(str(stale), entry.state, "the engine does not have it")

    # callbacks of the event loop: what engines say, and that they come and go

    def _on_message(self, backend: Backend, message: Message) -> None:
        if isinstance(message, Result):
            self._inflight.deliver(backend, message)
        elif isinstance(message, Told):
            self._administration.deliver(message)
        elif isinstance(message, Changed):
            self._balancer.reload_catalog(backend)

    def _on_up(self) -> None:
        self._inflight.submit_waiting()

    def _on_down(self, backend: Backend) -> None:
        self._administration.on_down(backend)
        self._inflight.submit_again(backend)


def _raise_for(result: Result, timeout_s: float) -> None:
    error: ServingError | None = None
    if result.status == Status.FULL:
        error = _counted(QueueFull(result.queue))
    elif result.status == Status.EXPIRED:
        error = DeadlineExceeded(timeout_s)
    elif result.status == Status.CANCELLED:
        error = ClientGone()
    elif result.status == Status.FAILED:
        error = InferenceFailed()
    if error:
        raise error


def _counted(full: QueueFull) -> QueueFull:
    metrics.REJECTED.labels("queue_full").inc()
    return full
