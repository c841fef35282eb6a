"""The HTTP worker's side of the engines: turns seeds into images, for many greenlets at a time."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
import numpy as np
from gevent.event import AsyncResult
from numpy.typing import NDArray

from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ServingError,
)
from server.ipc.arena import Arena, SlotShape
from server.ipc.catalog import Catalog, Entry
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Ask, Changed, Message, Result, Status, Told
from server.observability import metrics
from server.worker.engine_balancer import Backend, Balancer
from server.worker.inflight import HUNG_UP, Inflight, InflightRequest
from server.worker.request_terms import RequestTerms


@dataclass
class Generated:
    """Images in shared memory, to be read before this context ends, and what they took."""

    images: NDArray[np.uint8]
    """uint8 [n, H, W, C], RGB."""
    queue_s: float
    infer_s: float
    model: Entry
    """Which bundle drew them."""
    end: Callable[[], None]
    """Gives the memory back."""

    def __enter__(self) -> "Generated":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class EngineClient:
    """Turns seeds into images through the engines of ``engine_dirs``.

    ``arena_bytes`` of shared memory hold what is on its way; a request that finds no room waits for
    others to finish.
    """

    def __init__(
        self,
        engine_dirs: Sequence[EngineDir],
        arena_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._arena = Arena.create(arena_bytes)
        self._shapes: dict[int, SlotShape] = {}
        self._balancer = Balancer(engine_dirs, self._arena, self._hear, self._on_up, self._on_down)
        self._inflight = Inflight(self._balancer, self._arena, clock)
        self._asks: dict[int, tuple[Backend, Any]] = {}
        """Of whom administrators want something, and who waits for it."""
        self._ask_ids = itertools.count(1)

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

    def generate(
        self,
        seed: int,
        n: int,
        terms: RequestTerms,
        name: str | None = None,
        version: str | None = None,
    ) -> Generated:
        """Draw the images ``seed`` to ``seed + n - 1``, to be read in the context that is returned.

        By the model and version that are named, or those of the catalog.

        Raises:
            ModelNotFound, ModelUnavailable: the model cannot be drawn with.
            EngineUnavailable: no engine appeared in time.
            ClientGone: the caller hung up.
            QueueFull, DeadlineExceeded, InferenceFailed: the engine's own word.
        """
        deadline = self._clock() + terms.timeout_s
        while True:
            entry = self._find(name, version)
            request = self._begin(entry, seed, n, terms, deadline)
            try:
                result = self._result(request, terms)
                if result.status != Status.STALE:
                    images = self._arena.images(self._shape(entry), request.offset, n)
                    end = partial(self._inflight.finish, request)
                    return Generated(images, result.queue_s, result.infer_s, entry, end)
            except BaseException:
                self._inflight.finish(request)
                raise
            self._inflight.finish(request)
            self._look_again(entry)

    def administer(self, action: str, name: str, version: str, timeout_s: float) -> None:
        """Have every engine ``load`` or ``unload`` a model, and wait until it is done.

        Raises:
            LoadFailed: it cannot be.
            EngineUnavailable, DeadlineExceeded: no engine was there, or one is no more.
        """
        if not self.ready:
            raise EngineUnavailable
        asks = {next(self._ask_ids): (backend, AsyncResult()) for backend in self._balancer.up}
        self._asks |= asks
        try:
            for ask_id, (backend, _) in asks.items():
                backend.connection.say(Ask(ask_id, action, name, version))
            with gevent.Timeout(timeout_s, DeadlineExceeded(timeout_s)):
                answers = [waiter.get() for _, waiter in asks.values()]
        finally:
            for ask_id in asks:
                del self._asks[ask_id]
        if None in answers:
            raise EngineUnavailable("an engine ended while it was at it; look whether it is done")
        for told in answers:
            if told.error:
                raise LoadFailed(told.error)

    def close(self) -> None:
        """Hang up: the engine drops what this worker still waits for."""
        self._inflight.close()
        self._balancer.close()
        self._arena.close()

    # one call

    def _find(self, name: str | None, version: str | None) -> Entry:
        """Return the bundle that is called so; until the engine has spoken, none is missing."""
        try:
            return self.catalog.find(name, version)
        except ModelNotFound as error:
            if self.ready:
                raise
            raise EngineUnavailable from error

    def _begin(
        self, entry: Entry, seed: int, n: int, terms: RequestTerms, deadline: float
    ) -> InflightRequest:
        """Submit a request, unless it is known already that it would be refused."""
        shape = self._shape(entry)
        most = shape.rows_in(self._inflight.most_bytes)
        if n > most:
            raise InvalidRequest("n", n, f"at most {most}: the arena holds no more")
        now = self._clock()
        if refusal := self._balancer.refusal(entry.key, n, terms, now):
            raise _counted(refusal.again(now))
        return self._inflight.begin(entry.key, seed, n, shape.size(n), deadline, terms)

    def _result(self, request: InflightRequest, terms: RequestTerms) -> Result:
        """Wait for the engine's word, and raise what it says is wrong."""
        result = self._inflight.wait(request)
        if result is None:
            raise DeadlineExceeded(terms.timeout_s) if self.ready else EngineUnavailable()
        if result is HUNG_UP:
            raise ClientGone
        _raise_for(result, terms.timeout_s)
        return result  # type: ignore[no-any-return]

    def _shape(self, entry: Entry) -> SlotShape:
        shape = self._shapes.get(entry.key)
        if shape is None:
            assert entry.manifest is not None  # find has seen to it
            shape = SlotShape(entry.manifest.image.shape)
            self._shapes[entry.key] = shape
        return shape

    def _look_again(self, stale: Entry) -> None:
        """Read the catalog anew: the engine does not serve ``stale`` any more.

        Raises:
            ModelUnavailable: the catalog still says that it does.
        """
        for backend in self._balancer.up:
            self._balancer.look_again(backend)
        entry = self.catalog.entries.get(str(stale))
        if entry is not None and entry.key == stale.key:
            raise ModelUnavailable(str(stale), entry.state, "the engine does not have it")

    # on the event loop: what engines say, and that they come and go

    def _hear(self, backend: Backend, message: Message) -> None:
        if isinstance(message, Result):
            self._inflight.deliver(backend, message)
        elif isinstance(message, Told) and message.ask_id in self._asks:
            self._asks[message.ask_id][1].set(message)
        elif isinstance(message, Changed):
            self._balancer.look_again(backend)

    def _on_up(self) -> None:
        self._inflight.submit_waiting()

    def _on_down(self, backend: Backend) -> None:
        for asked, waiter in self._asks.values():
            if asked is backend:
                waiter.set(None)
        self._inflight.submit_again(backend)


def _raise_for(result: Result, timeout_s: float) -> None:
    if result.status == Status.OK:
        return
    error: ServingError | None = None
    if result.status == Status.FULL:
        error = _counted(
            QueueFull(result.waiting_rows, result.limit_rows, result.wait_s, result.retry_after_s)
        )
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
