"""The bundles that one engine has loaded: how they are loaded, refused and retired."""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from server.bundle import repository
from server.bundle.files import Bundle
from server.bundle.manifest import FLOATS, GRADIENT, BundleError
from server.config import ServerConfig
from server.engine import load_notes
from server.engine.catalog_publisher import CatalogPublisher
from server.engine.draining import Draining
from server.engine.graphs_on_demand import GraphsOnDemand
from server.engine.load_notes import noted
from server.engine.loaded import Loaded
from server.engine.low_priority import at_low_priority
from server.engine.models import ServedModel
from server.ipc.engine_dir import EngineDir
from server.runtime.plans import Plan, SessionError

log = logging.getLogger(__name__)


class Metrics(Protocol):
    """The metrics of bundles that are served, retired or refused."""

    def serving(self, bundle: Bundle, plan: Plan, failed: list[Plan]) -> None: ...
    def floats(self, bundle: Bundle, plan: Plan) -> None: ...
    def gradient(self, bundle: Bundle, plan: Plan) -> None: ...
    def retired(self, bundle: Bundle) -> None: ...
    def refused(self, ref: str, is_refused: bool) -> None: ...


class ServingEngine(Protocol):
    """The engine that serves the loaded bundles, see ``server.engine.engine.Engine``."""

    def add(self, served: ServedModel) -> None: ...
    def remove(self, key: int) -> bool: ...
    def announce(self) -> None: ...


class LoadedBundles:
    """Loads bundles of the repository with ``load``, and tells ``publisher`` of each.

    Until ``engine`` is set no bundle is served, and a load may take the whole machine. After that a
    load gives way to the bundles that are served.
    """

    def __init__(
        self,
        config: ServerConfig,
        load: Callable[[Bundle], Loaded],
        metrics: Metrics,
        engine_dir: EngineDir,
        publisher: CatalogPublisher,
        clock: Callable[[], float],
    ) -> None:
        self._models = config.models
        self._load = load
        self._metrics = metrics
        self._engine_dir = engine_dir
        self._publisher = publisher
        self._clock = clock
        self._threads_a_stream = config.threads_a_stream
        self._draining = Draining(metrics, clock)
        self._graphs = GraphsOnDemand(config.float_images, engine_dir, publisher, clock)
        self._loaded: dict[str, tuple[Bundle, Loaded]] = {}
        self._answered = publisher.answered
        """The names of the models that this server has answered with."""
        self._undecided: dict[str, str] = {}
        """The bundles that cannot be served for no fault of their content, and the reason."""
        self.engine: ServingEngine | None = None

    def __contains__(self, ref: str) -> bool:
        return ref in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def loaded(self) -> list[Loaded]:
        """Return the bundles that are loaded."""
        return [loaded for _, loaded in self._loaded.values()]

    def key(self, ref: str) -> int:
        """Return the key of the bundle that is loaded as ``ref``."""
        return self._loaded[ref][0].key

    def bring(self, ref: str, insist: bool, before_load: Callable[[], None]) -> Exception | None:
        """Load the bundle ``ref`` and have it served, or refuse it on any error and return that.

        The bundle that it replaces is retired. ``before_load`` is called before a load that is
        published as ``LOADING``. With ``insist`` a bundle is loaded although its loading killed
        engines.
        """
        try:
            self._bring(ref, insist, before_load)
        except Exception as error:  # one bundle's fault, of any kind, must not stop the others
            self._refuse(ref, error)
            return error
        self._undecided.pop(ref, None)
        self._answered.add(_name(ref))
        return None

    def open_graph(self, kind: str, ref: str) -> str:
        """Open the graph of that ``kind`` of ``ref``; return why it cannot be, or an empty text.

        Of a bundle that is not loaded any more nothing is opened.

        Raises:
            BundleUnreadable: the graph cannot be read now.
        """
        if ref not in self._loaded:
            return ""
        bundle, loaded = self._loaded[ref]
        error = self._graphs.open(kind, ref, bundle, loaded)
        self._serve(bundle, loaded)
        self._publisher.on_demand(ref, loaded)
        return error

    def allow_graphs(self, ref: str) -> None:
        """Have those graphs of ``ref`` be tried again that could not be opened."""
        bundle, loaded = self._loaded[ref]
        self._graphs.allow(bundle, loaded)
        self._publisher.on_demand(ref, loaded)

    def may_pass_over(self, ref: str) -> bool:
        """Return whether an older version may serve in place of ``ref``, which cannot.

        At a server's first start it may only if every host would refuse ``ref``. Otherwise one seed
        would be another image here than where ``ref`` is served.
        """
        return ref not in self._undecided or _name(ref) in self._answered

    def finish_next(self) -> bool:
        """Give the next bundle that is not warm its full speed; return whether there was one."""
        for ref, (bundle, loaded) in self._loaded.items():
            if loaded.finish:
                self._finish_served(ref, bundle, loaded)
                return True
        return False

    def retire(self, ref: str, why: str) -> None:
        """Stop answering new requests with the bundle ``ref``; those on their way are answered."""
        bundle, loaded = self._loaded.pop(ref)
        log.info("%s is retired: %s", ref, why)
        self._draining.add(bundle, loaded)
        self._publisher.retired(ref, why)

    def forget(self, ref: str) -> None:
        """Forget a bundle that is neither in the repository any more nor loaded."""
        self._metrics.refused(ref, False)
        self._undecided.pop(ref, None)
        del self._publisher.entries[ref]

    def let_go(self) -> None:
        """Free the retired bundles for which nobody waits."""
        self._draining.let_go(self.engine.remove if self.engine else lambda _: True)

    def _bring(self, ref: str, insist: bool, before_load: Callable[[], None]) -> None:
        bundle = repository.load(self._models, ref)
        old = self._loaded.get(ref)
        self._metrics.refused(ref, False)
        if old and old[0].key == bundle.key:
            self._publisher.unchanged(ref, bundle)
            return
        loaded = self._draining.take_back(bundle.key)
        if loaded is None:
            if self.engine and not old:
                self._publisher.loading(ref)
                before_load()
            loaded = self._open(bundle, ref, insist)
        if old:
            self.retire(ref, "another took its place")
        self._loaded[ref] = bundle, loaded
        self._publisher.serves(ref, bundle, loaded)
        self._metrics.serving(bundle, loaded.plan, loaded.failed)
        self._serve(bundle, loaded)

    def _serve(self, bundle: Bundle, loaded: Loaded) -> None:
        """Have the engine, if there is one, serve a bundle, and what its open graphs give."""
        floats, gradient = (loaded.on_demand[kind].loaded for kind in (FLOATS, GRADIENT))
        if floats:
            self._metrics.floats(bundle, floats.plan)
        if gradient:
            self._metrics.gradient(bundle, gradient.plan)
        if self.engine:
            for served in loaded.all_served:
                self.engine.add(served)

    def _open(self, bundle: Bundle, ref: str, insist: bool) -> Loaded:
        """Return ``bundle`` loaded; warm too, where other bundles are served meanwhile."""
        began, note = self._clock(), self._engine_dir.loads(bundle.key)
        is_alone = _name(ref) not in self._answered
        if is_alone and (before := load_notes.deaths(note)):
            self._publisher.waits(f"{ref} is loaded again; {load_notes.died_of(before)}")
        with noted(note, bundle.path, insist, is_alone):
            loaded = self._load(bundle)
            if self.engine:
                self._finish(loaded)
        self._graphs.follow(ref, bundle, loaded)
        plan = loaded.plan
        log.info(
            "serving %s on %s in %s (%s), %d streams, up to %d images a batch; loaded in %.1f s",
            ref, plan.provider, plan.precision, plan.reason, len(loaded.served.runs),
            loaded.served.batcher.max_batch_size, self._clock() - began,
        )  # fmt: skip
        return loaded

    def _finish(self, loaded: Loaded) -> None:
        finish, loaded.finish = loaded.finish, None
        if finish:
            at_low_priority(finish, self._threads_a_stream)

    def _finish_served(self, ref: str, bundle: Bundle, loaded: Loaded) -> None:
        """Give a bundle that is served its full speed; where that fails, its session serves on."""
        began, note = self._clock(), self._engine_dir.finishes(bundle.key)
        try:
            with noted(note, bundle.path, insist=False):
                self._finish(loaded)
        except Exception as error:
            expected = isinstance(error, (BundleError, SessionError))
            log.error(
                "%s is served by one session: %s", ref, error, exc_info=None if expected else error
            )
            loaded.finish = None
            note.unlink(missing_ok=True)  # the next engine tries again
        else:
            log.info("%s is warm for all batch sizes after %.1f s", ref, self._clock() - began)

    def _refuse(self, ref: str, error: Exception) -> None:
        """Log, count and publish that ``ref``, or its newer files, cannot be served."""
        expected = isinstance(error, (BundleError, SessionError))
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        if self._undecided.get(ref) != reason:  # it is tried again and again
            log.error("%s is refused: %s", ref, reason, exc_info=not expected)
        self._undecided.pop(ref, None)
        if not getattr(error, "is_of_content", isinstance(error, SessionError)):
            self._undecided[ref] = reason
        self._metrics.refused(ref, True)
        self._publisher.refuses(ref, reason, ref in self._loaded)


def _name(ref: str) -> str:
    return ref.partition("/")[0]
