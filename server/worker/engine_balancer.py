"""The engines as one HTTP worker sees them, and which of them gets a request.

Each answer of an engine tells the state of its queue. So every worker knows, without asking, which
engine will be free first.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from server.bundle.manifest import FLOATS, GRADIENT, BundleError
from server.errors import ModelUnavailable
from server.ipc.arena import Arena
from server.ipc.catalog import Catalog, Entry, merge
from server.ipc.engine_dir import EngineDir
from server.queue_state import QueueState
from server.worker.engine_connection import EngineConnection
from server.worker.event_loop import EventLoop
from server.worker.request_terms import Refusal, RequestTerms

log = logging.getLogger(__name__)


class Backend:
    """One engine: which models it serves, and the state of its queue as it said last."""

    connection: EngineConnection

    def __init__(self, engine_dir: EngineDir) -> None:
        self._engine_dir = engine_dir
        self.rows = 0
        """Rows of this worker that are on their way to the engine."""
        self.last = 0
        """When the engine was chosen last, as a running number: of equals, the one that was chosen
        longest ago is next."""
        self.refusal: Refusal | None = None
        """The engine's newest refusal: a request that would be refused again need not be sent."""
        self.limit = 0
        """How many rows may wait there."""
        self._free_at = 0.0
        """When the rows that wait there will have run."""
        self._row_s = 0.0
        """How long a row takes there."""
        self._learn(Catalog())  # if there is none to read: the engine will say when there is
        self.read_catalog()

    def read_catalog(self) -> None:
        """Read anew which models the engine serves; an unreadable catalog changes nothing."""
        try:
            self._learn(Catalog.read(self._engine_dir.catalog))
        except BundleError as error:
            log.error("%s", error)

    def _learn(self, catalog: Catalog) -> None:
        self.catalog = catalog
        served = [entry for entry in catalog.entries.values() if entry.manifest]
        self.keys = {entry.key for entry in served}
        self.keys |= {
            entry.key_of(kind) for entry in served for kind in (FLOATS, GRADIENT)
            if entry.plan_of(kind)
        }  # fmt: skip
        """The keys of the bundles, of the float images, and of the gradients that it serves."""

    def free_in_s(self, now: float) -> float:
        """Return in how many seconds the rows that wait there will have run, as far as is known."""
        return max(0.0, self._free_at - now)

    def wait_s(self, rows: int, now: float, share: float) -> float:
        """Return in how many seconds ``rows`` more rows would have run, as far as is known.

        They run when a ``share`` of the rows that wait there have run.
        """
        return share * self.free_in_s(now) + rows * self._row_s

    def asked(self, rows: int, now: float) -> None:
        """Note that ``rows`` rows are on their way to the engine."""
        self.rows += rows
        self._free_at = max(self._free_at, now) + rows * self._row_s

    def answered(self, queue: QueueState, rows: int, now: float) -> None:
        """Note that the engine has answered a request of ``rows`` rows, and how its queue is."""
        self.rows -= rows
        self._free_at = now + queue.wait_s
        self.limit = queue.limit_rows
        if queue.waiting_rows and queue.wait_s:
            self._row_s = queue.wait_s / queue.waiting_rows

    def refuses(self, model: int, rows: int, terms: RequestTerms, now: float) -> bool:
        """Tell whether the engine has just refused such a request."""
        return bool(self.refusal and self.refusal.holds_for(model, rows, terms, now))

    def forget(self) -> None:
        """Forget what is known of an engine that is gone."""
        self.rows, self.refusal, self._free_at, self._row_s = 0, None, 0.0, 0.0


class Balancer:
    """Keeps a connection to the engine of each of ``engine_dirs``; the engines see ``arena``.

    ``on_message`` is called with the engine and each of its messages, ``on_up`` when an engine
    comes, and ``on_down`` with the engine that is gone.
    """

    def __init__(
        self,
        engine_dirs: Sequence[EngineDir],
        arena: Arena,
        loop: EventLoop,
        on_message: Callable[[Backend, Any], None],
        on_up: Callable[[], None],
        on_down: Callable[[Backend], None],
    ) -> None:
        self.backends = [Backend(engine_dir) for engine_dir in engine_dirs]
        self.up: list[Backend] = []
        """The engines that answer."""
        self._serving: dict[int, list[Backend]] = {}
        """The engines that serve a model, by its key; only models that were asked for are in it."""
        self._turns = itertools.count(1)
        self._tell_up = on_up
        self._tell_down = on_down
        self.catalog = merge([backend.catalog for backend in self.backends])
        """The catalog of all engines together, as of now."""
        for backend, engine_dir in zip(self.backends, engine_dirs, strict=True):
            backend.connection = EngineConnection(
                engine_dir.socket,
                arena,
                loop,
                partial(on_message, backend),
                partial(self._on_up, backend),
                partial(self._on_down, backend),
            )

    def reload_catalog(self, backend: Backend) -> None:
        """Read which models ``backend`` serves: they have changed."""
        backend.read_catalog()
        self._serving.clear()
        self._merge()

    def reload_catalogs(self, stale: Entry, floats: bool = False) -> None:
        """Read the catalogs anew: an engine does not serve ``stale``, or its ``floats``, any more.

        Raises:
            ModelUnavailable: the catalogs still say that it does.
        """
        for backend in self.up:
            self.reload_catalog(backend)
        entry = self.catalog.entries.get(str(stale))
        lost = entry is not None and floats and entry.float_plan != stale.float_plan
        if entry is not None and entry.key == stale.key and not lost:
            raise ModelUnavailable(str(stale), entry.state, "the engine does not have it")

    def plans_of(self, ref: str, key: int | None = None) -> list[str]:
        """Return the plans with which the engines that answer draw ``ref``; each plan once.

        Only that bundle of the name and version counts which has the ``key``, if one is given.
        """
        found = [x.catalog.entries.get(ref) for x in self.up]
        entries = [entry for entry in found if entry and key in (None, entry.key)]
        return list(dict.fromkeys(entry.plan for entry in entries if entry.plan))

    def waits_for(self) -> str:
        """Return why no engine answers, as far as one has said so; an empty text if none has."""
        for backend in self.backends:
            self.reload_catalog(backend)
        entry = self.catalog.entries.get(self.catalog.default)
        return entry.reason if entry else ""

    def refusal(self, model: int, rows: int, terms: RequestTerms, now: float) -> Refusal | None:
        """Return the refusal that ends first, if every engine has just refused such a request."""
        refusals = []
        for backend in self.able(model):
            if not backend.refuses(model, rows, terms, now):
                return None
            refusals.append(backend.refusal)
        return min(refusals, key=attrgetter("until"), default=None)

    def choose(
        self, model: int, rows: int, terms: RequestTerms, now: float, tried: Sequence[Backend] = ()
    ) -> Backend | None:
        """Return the engine that will be free first, of those that serve ``model``.

        The engines that were ``tried``, or have just refused such a request, come last. None while
        no engine is there.
        """
        able = self.able(model)
        if len(able) < 2:
            return able[0] if able else None
        able = [x for x in able if x not in tried] or able
        able = [x for x in able if not x.refuses(model, rows, terms, now)] or able
        chosen = min(able, key=lambda x: (x.free_in_s(now), x.rows, x.last))
        chosen.last = next(self._turns)
        return chosen

    def expected_queue(self, model: int, rows: int, now: float, share: float) -> QueueState:
        """Return the queue of ``rows`` rows at the engine where they would have run first.

        They run when a ``share`` of the rows that wait there have run. The ``wait_s`` and
        ``limit_rows`` are 0 while no engine is there.
        """
        able = self.able(model)
        wait_s, limit = min(((x.wait_s(rows, now, share), x.limit) for x in able), default=(0.0, 0))
        return QueueState(rows, limit, wait_s)

    def others(self, model: int, tried: Sequence[Backend]) -> bool:
        """Tell whether an engine that serves ``model`` was not tried yet."""
        return any(backend not in tried for backend in self.able(model))

    def able(self, model: int) -> list[Backend]:
        """Return the engines that serve ``model``; all engines if none does: they will say why."""
        able = self._serving.get(model)
        if able is None:
            able = [backend for backend in self.up if model in backend.keys] or self.up
            self._serving[model] = able
        return able

    def close(self) -> None:
        """End all connections."""
        for backend in self.backends:
            backend.connection.close()

    def _on_up(self, backend: Backend) -> None:
        self._count()
        self.reload_catalog(backend)  # another engine may serve other models
        self._tell_up()

    def _on_down(self, backend: Backend) -> None:
        self._count()
        backend.forget()
        if self.up:
            self._merge()
        self._tell_down(backend)

    def _count(self) -> None:
        self.up = [backend for backend in self.backends if backend.connection.up]
        self._serving.clear()

    def _merge(self) -> None:
        self.catalog = merge([backend.catalog for backend in self.up or self.backends])
