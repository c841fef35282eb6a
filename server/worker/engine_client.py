"""The client of the engines: rows become images, for many callers at a time.

Nothing here knows of gevent: waiting, timers and sockets are the ``EventLoop``'s.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

from server.bundle.classes import Named, NamedEach
from server.bundle.manifest import FLOATS
from server.config import PLANS
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    ModelGone,
)
from server.ipc.arena import Arena
from server.ipc.catalog import Entry
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Changed, Message, Result, Status, Told
from server.ipc.sources import Source
from server.worker.administration import Administration
from server.worker.arena_layout import ArenaLayout
from server.worker.engine_balancer import Backend, Balancer
from server.worker.event_loop import EventLoop
from server.worker.generated import Generated
from server.worker.graphs_on_demand import GraphsOnDemand
from server.worker.inflight import Inflight
from server.worker.inflight_request import HUNG_UP, InflightRequest
from server.worker.model_fit import classes
from server.worker.outcome import counted, raise_for
from server.worker.request_terms import RequestTerms
from server.worker.served_models import ServedModels

OK = Status.OK
"""Looking up a member of an enum takes a tenth of a microsecond in Python 3.11."""


class EngineClient(ServedModels):
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
        ids = itertools.count(1)
        self._administration = Administration(loop, ids)
        super().__init__(
            Balancer(engine_dirs, self._arena, loop, self._on_message, self._on_up, self._on_down)
        )
        self._inflight = Inflight(self._balancer, self._arena, loop, clock)
        self._layout = ArenaLayout(self._inflight.most_bytes)
        self._graphs = GraphsOnDemand(self._balancer, loop, ids, clock)

    def most_rows(self, entry: Entry, *row_bytes: int, floats: bool = False) -> int:
        """Return how many images of ``entry`` the arena holds, with ``row_bytes`` given for each.

        There is a number for each array that is given. Of ``floats``, float images, the arena holds
        a quarter as many.
        """
        key = entry.floats_key if floats else entry.key
        return self._layout.most_rows(entry, key, *row_bytes)

    def generate(
        self,
        source: Source,
        terms: RequestTerms,
        name: str | None = None,
        version: str | None = None,
        named: Named | NamedEach = None,
        floats: bool = False,
    ) -> Generated:
        """Draw an image of each row of ``source``, to be read in the context that is returned.

        The model ``name`` draws them, the default model if there is no name; and its newest version
        if there is no ``version``. They are of the class ``named``, or each of its own if a list
        or an array names them, or of their seeds' own. With ``floats`` they are float images,
        whose graph is opened first if it is not open yet.

        Raises:
            ModelNotFound, ModelUnavailable: the model cannot be drawn with.
            NotOffered: the model draws no float images.
            InvalidRequest: the arena holds fewer images, the latents are none of the model's, or it
                has no such class.
            EngineUnavailable: no engine appeared in time.
            ClientGone: the caller hung up.
            QueueFull, DeadlineExceeded, InferenceFailed: the engine has said so.
            RateExceeded, TooManyInFlight: the caller's key does not allow so many images now.
        """
        if terms.caller is not None:
            unpaid = terms._replace(caller=None)
            return terms.caller.draw(
                source.n, lambda: self.generate(source, unpaid, name, version, named, floats)
            )
        deadline = self._clock() + terms.timeout_s
        while True:
            entry = self.find(name, version)
            key = self._open_key(entry, FLOATS, terms, deadline) if floats else entry.key
            generated = self._draw(entry, key, source, terms, deadline, named)
            if generated is not None:
                return generated
            self._balancer.reload_catalogs(entry, floats)

    def generate_with(
        self,
        entry: Entry,
        source: Source,
        terms: RequestTerms,
        named: Named | NamedEach = None,
        kind: str = "",
    ) -> Generated:
        """Draw an image of each row of ``source`` as ``generate`` does, with ``entry`` alone.

        A ``kind`` is that of the graph which is to run: its float images, or its gradient, whose
        rows are latents with cotangents behind, see ``server.runtime.gradient``.

        Raises:
            ModelGone: no engine has ``entry`` any more.
            NotOffered: ``entry`` has no such graph.
            ServingError: see ``generate``.
        """
        if terms.caller is not None:
            free = terms._replace(caller=None)
            draw = partial(self.generate_with, entry, source, free, named, kind)
            return terms.caller.draw(source.n, draw)
        deadline = self._clock() + terms.timeout_s
        key = self._open_key(entry, kind, terms, deadline) if kind else entry.key
        generated = self._draw(entry, key, source, terms, deadline, named)
        if generated is None:
            self._balancer.reload_catalogs(entry)
            raise ModelGone(str(entry))
        return generated

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

    def _open_key(self, entry: Entry, kind: str, terms: RequestTerms, deadline: float) -> int:
        """Return the key of what a graph of ``entry`` gives, once an engine has it open."""
        now = self._balancer.catalog.entries.get(str(entry), entry)
        newer = now if now.key == entry.key and not entry.refusal_of(kind) else entry
        if not newer.plan_of(kind):
            self._graphs.open(newer, kind, terms, deadline)
        return entry.key_of(kind)

    def _draw(
        self,
        entry: Entry,
        key: int,
        source: Source,
        terms: RequestTerms,
        deadline: float,
        named: Named | NamedEach,
    ) -> Generated | None:
        """Return the images of ``key`` that ``entry`` draws; None if its engine has it no more."""
        request = self._begin(entry, key, source, terms, deadline, named)
        try:
            result = self._result(request, terms)
            if result.status == OK:
                shape = self._layout.shape(entry, key)
                images = self._arena.images(shape, request.offset, source.n)
                end = partial(self._inflight.finish, request)
                queue_s, infer_s, plan = result.queue_s, result.infer_s, PLANS[result.plan]
                return Generated(images, queue_s, infer_s, entry, plan, end)
        except BaseException:
            self._inflight.finish(request)
            raise
        self._inflight.finish(request)
        return None

    def _begin(
        self,
        entry: Entry,
        key: int,
        source: Source,
        terms: RequestTerms,
        deadline: float,
        named: Named | NamedEach,
    ) -> InflightRequest:
        """Submit a request, unless it is known already that it would be refused."""
        numbers = classes(named, entry)
        size = self._layout.size_of(entry, key, source, numbers)
        now = self._clock()
        if refusal := self._balancer.refusal(key, source.n, terms, now):
            raise counted(refusal.again(now))
        return self._inflight.begin(key, source, size, deadline, terms, numbers)

    def _result(self, request: InflightRequest, terms: RequestTerms) -> Result:
        """Return the engine's answer, which is OK or STALE, and raise any other."""
        result = self._inflight.wait(request)
        if result is None:
            raise DeadlineExceeded(terms.timeout_s) if self.ready else EngineUnavailable()
        if result is HUNG_UP:
            raise ClientGone
        if result.status != OK:
            raise_for(result, terms.timeout_s)
        return result  # type: ignore[no-any-return]

    # callbacks of the event loop: what engines say, and that they come and go

    def _on_message(self, backend: Backend, message: Message) -> None:
        if isinstance(message, Result):
            self._inflight.deliver(backend, message)
        elif isinstance(message, Told):
            self._administration.deliver(message)
            self._graphs.deliver(message)
        elif isinstance(message, Changed):
            self._balancer.reload_catalog(backend)

    def _on_up(self) -> None:
        self._inflight.submit_waiting()
        self._graphs.on_up()

    def _on_down(self, backend: Backend) -> None:
        self._administration.on_down(backend)
        self._graphs.on_down(backend)
        self._inflight.submit_again(backend)
