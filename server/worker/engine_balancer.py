"""The engines as one HTTP worker sees them, and which of them gets a request.

Each answer of an engine says how much waits there. So every worker knows, without asking, which
engine will be free first.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from server.bundle.manifest import BundleError
from server.ipc.arena import Arena
from server.ipc.catalog import Catalog, merge
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Result
from server.worker.engine_connection import EngineConnection
from server.worker.request_terms import Refusal, RequestTerms

log = logging.getLogger(__name__)


class Backend:
    """One engine: what it serves, and what it said last of its queue."""

    connection: EngineConnection

    def __init__(self, engine_dir: EngineDir) -> None:
        self._engine_dir = engine_dir
        self.rows = 0
        """Of this worker, on their way."""
        self.last = 0
        """When it was chosen last, as a running number: of equals, the turn is the others'."""
        self.refusal: Refusal | None = None
        """The newest one: what would be refused again need not be asked."""
        self.limit = 0
        """How many rows may wait there."""
        self._free_at = 0.0
        self._row_s = 0.0
        self._learn(Catalog())  # if there is none to read: the engine will say when there is
        self.read_catalog()

    def read_catalog(self) -> None:
        """Read anew what it serves; what cannot be read changes nothing."""
        try:
            self._learn(Catalog.read(self._engine_dir.catalog))
        except BundleError as error:
            log.error("%s", error)

    def _learn(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.keys = {entry.key for entry in catalog.entries.values() if entry.manifest}
        """Of the bundles that it serves."""

    def free_in_s(self, now: float) -> float:
        """Return how long it will be until what waits there has run, as far as is known."""
        return max(0.0, self._free_at - now)

    def wait_s(self, rows: int, now: float) -> float:
        """Return when ``rows`` more rows would have run, as far as is known, in seconds."""
        return self.free_in_s(now) + rows * self._row_s

    def asked(self, rows: int, now: float) -> None:
        """Note that ``rows`` rows are on their way to it."""
        self.rows += rows
        self._free_at = max(self._free_at, now) + rows * self._row_s

    def answered(self, result: Result, rows: int, now: float) -> None:
        """Note its answer to a request of ``rows`` rows, and what it says of the queue."""
        self.rows -= rows
        self._free_at = now + result.wait_s
        self.limit = result.limit_rows
        if result.waiting_rows and result.wait_s:
            self._row_s = result.wait_s / result.waiting_rows

    def refuses(self, model: int, rows: int, terms: RequestTerms, now: float) -> bool:
        """Whether it has just refused as much, or less."""
        return bool(self.refusal and self.refusal.holds_for(model, rows, terms, now))

    def forget(self) -> None:
        """Forget what an engine said that is gone."""
        self.rows, self.refusal, self._free_at, self._row_s = 0, None, 0.0, 0.0


class Balancer:
    """Keeps a connection to the engine of each of ``engine_dirs``; they see ``arena``.

    ``on_message`` is called with each message and whose it is, ``on_up`` when an engine comes, and
    ``on_down`` with the one that is gone.
    """

    def __init__(
        self,
        engine_dirs: Sequence[EngineDir],
        arena: Arena,
        on_message: Callable[[Backend, Any], None],
        on_up: Callable[[], None],
        on_down: Callable[[Backend], None],
    ) -> None:
        self.backends = [Backend(engine_dir) for engine_dir in engine_dirs]
        self.up: list[Backend] = []
        """The engines that answer."""
        self._able_to: dict[int, list[Backend]] = {}
        """The engines that serve a model, by its key, as far as they were asked for."""
        self._turns = itertools.count(1)
        self._on_up = on_up
        self._on_down = on_down
        self.catalog = merge([backend.catalog for backend in self.backends])
        """What all engines serve together, as of now."""
        for backend, engine_dir in zip(self.backends, engine_dirs, strict=True):
            backend.connection = EngineConnection(
                engine_dir.socket,
                arena,
                partial(on_message, backend),
                partial(self._come, backend),
                partial(self._go, backend),
            )

    def look_again(self, backend: Backend) -> None:
        """Read what ``backend`` serves: it has changed."""
        backend.read_catalog()
        self._able_to.clear()
        self._merge()

    def refusal(self, model: int, rows: int, terms: RequestTerms, now: float) -> Refusal | None:
        """Return the refusal that ends first, if every engine has just refused as much."""
        refusals = []
        for backend in self._able(model):
            if not backend.refuses(model, rows, terms, now):
                return None
            refusals.append(backend.refusal)
        return min(refusals, key=attrgetter("until"), default=None)

    def choose(
        self, model: int, rows: int, terms: RequestTerms, now: float, tried: Sequence[Backend] = ()
    ) -> Backend | None:
        """Return the engine that will be free first, of those that serve ``model``.

        Those that were ``tried``, or have just refused as much, come last. None while no engine is
        there.
        """
        able = self._able(model)
        if len(able) < 2:
            return able[0] if able else None
        able = [x for x in able if x not in tried] or able
        able = [x for x in able if not x.refuses(model, rows, terms, now)] or able
        chosen = min(able, key=lambda x: (x.free_in_s(now), x.rows, x.last))
        chosen.last = next(self._turns)
        return chosen

    def soonest(self, model: int, rows: int, now: float) -> tuple[float, int]:
        """Return when ``rows`` more rows would have run at best, in seconds, and who may wait.

        That is how many rows wait at most where they would run. 0 and 0 while no engine is there.
        """
        able = self._able(model)
        return min(((x.wait_s(rows, now), x.limit) for x in able), default=(0.0, 0))

    def others(self, model: int, tried: Sequence[Backend]) -> bool:
        """Tell whether an engine that serves ``model`` was not tried yet."""
        return any(backend not in tried for backend in self._able(model))

    def close(self) -> None:
        """End all connections."""
        for backend in self.backends:
            backend.connection.close()

    def _able(self, model: int) -> list[Backend]:
        """Return the engines that serve ``model``; all, if none says so: it will know why."""
        able = self._able_to.get(model)
        if able is None:
            able = [backend for backend in self.up if model in backend.keys] or self.up
            self._able_to[model] = able
        return able

    def _come(self, backend: Backend) -> None:
        self._count()
        self.look_again(backend)  # another engine may serve other models
        self._on_up()

    def _go(self, backend: Backend) -> None:
        self._count()
        backend.forget()
        if self.up:
            self._merge()
        self._on_down(backend)

    def _count(self) -> None:
        self.up = [backend for backend in self.backends if backend.connection.up]
        self._able_to.clear()

    def _merge(self) -> None:
        self.catalog = merge([backend.catalog for backend in self.up or self.backends])
