"""The lifecycle of bundles: follows the model repository, loads what is wanted, retires the rest.

A new version is loaded beside the old one, proven on this host, and only then named in the catalog.
A bundle that cannot be loaded is refused by name, and the old version goes on serving. The old
version stays loaded for as long as a request may still be on its way to it. A bundle whose loading
killed engines is refused too, see ``server.engine.load_notes``.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from server.bundle import repository
from server.bundle.errors import BundleError, BundleUnreadable
from server.bundle.files import Bundle
from server.bundle.manifest import FLOATS, GRADIENT
from server.config import ServerConfig
from server.engine.catalog_publisher import CatalogPublisher, answered_by
from server.engine.loaded import Loaded
from server.engine.loaded_bundles import LoadedBundles, Metrics, ServingEngine
from server.engine.wanted import LoadAttempts, Look, Wanted, means
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Ask
from server.runtime.plans import SessionError

log = logging.getLogger(__name__)

Answer = Callable[[str], None]


class Lifecycle:
    """Decides which bundles are served, and publishes the catalog of them."""

    def __init__(
        self,
        config: ServerConfig,
        load: Callable[[Bundle], Loaded],
        metrics: Metrics,
        engine_dir: EngineDir,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._clock = clock
        self._engine_dir = engine_dir
        self._other_engines = [other for other in config.engine_dirs if other != engine_dir]
        self._publisher = CatalogPublisher(engine_dir)
        self._bundles = LoadedBundles(config, load, metrics, engine_dir, self._publisher, clock)
        self._wanted = Wanted(config, self._publisher.catalog.asked)
        self._attempts = LoadAttempts()
        self._serving: set[str] = set()
        """The bundles that are wanted and should stay."""
        self._looked = clock()
        self._is_told = False
        """Whether the server was told to look at the repository, and has not yet."""
        self._is_unreadable = False
        """Whether the repository could not be read at the last look."""

    def start(self) -> list[Loaded]:
        """Load the bundles that are wanted, and return them.

        Raises:
            BundleError, SessionError: the default model cannot be served.
        """
        try:
            return self._start()
        except (BundleError, SessionError) as error:
            self._publisher.waits(str(error))
            raise

    def _start(self) -> list[Loaded]:
        self._settle_all(force=True, default="")
        if self._publisher.default not in self._bundles and self._engine_dir.all_loads:
            # No other bundle can be served than those whose loading killed engines.
            self._settle_all(force=True, default="", insisted=self._wanted.default)
        if self._publisher.default not in self._bundles:
            wanted = f"{self._config.model}/{self._config.version}"
            raise SessionError(f"{wanted} cannot be served: {self._publisher.reasons()}")
        return self._bundles.loaded()

    def serve_on(self, engine: ServingEngine) -> None:
        """Have ``engine`` serve the bundles that are loaded from now on, and announce changes."""
        self._bundles.engine = engine
        self._publisher.announce = engine.announce

    def finish_next(self) -> bool:
        """Give the next bundle that is not warm its full speed; return whether there was one."""
        return self._bundles.finish_next()

    def look(self) -> None:
        """Scan the repository if that is due or asked for, and free bundles that are retired."""
        rescan = self._engine_dir.rescan
        if rescan.exists():
            rescan.unlink(missing_ok=True)
            log.info("looking at the model repository: the server was told to")
            self._is_told = True
        poll_s = self._config.poll_s
        if self._is_told or (poll_s and self._clock() - self._looked >= poll_s):
            self._look_again()
        if self._retire_unwanted() or self._publisher.is_lost:
            self._publish(self._publisher.default)
        if not self._publisher.is_lost:  # until then HTTP workers ask for what is retired
            self._bundles.let_go()

    def _look_again(self) -> None:
        """Settle what is wanted; while the repository cannot be read, all stays as it is."""
        try:
            self._settle_all(self._is_told, self._publisher.default)
        except BundleUnreadable as error:
            if not self._is_unreadable:
                log.error("what is served stays as it is: %s", error)
            self._is_unreadable = True
        else:
            self._is_told = self._is_unreadable = False

    # what is asked for

    def do(self, ask: Ask, answer: Answer) -> None:
        """Do what an administrator, or a caller of a graph, wants; tell ``answer`` the end."""
        spec = f"{ask.name}/{ask.version}" if ask.version else ask.name
        does: dict[str, Callable[[str], str]] = {
            "load": self._load_asked,
            "unload": self._unload_asked,
            FLOATS: partial(self._open_graph, FLOATS),
            GRADIENT: partial(self._open_graph, GRADIENT),
        }
        try:
            answer(does[ask.action](spec))
        except BundleUnreadable as error:
            answer(str(error))
        except Exception as error:
            log.exception("%s %s", ask.action, spec)
            answer(f"{type(error).__name__}: {error}")

    def _load_asked(self, spec: str) -> str:
        """Serve ``spec``, even if loading it killed engines; return the error or an empty text."""
        self._settle_all(force=True, default=self._publisher.default, insisted=spec)
        entries = self._publisher.entries
        refs = [ref for ref in entries if means(spec, ref)]
        loaded = [ref for ref in refs if ref in self._bundles]
        is_there = bool(loaded)
        for ref in loaded:
            self._bundles.allow_graphs(ref)
        if is_there:
            self._wanted.ask(spec)
        else:
            self._wanted.withdraw(spec)
        self._publish(self._publisher.default)
        if not is_there:
            told = [f"{ref}: {entries[ref].reason}" for ref in refs]
            return "; ".join(told) or f"the repository has no {spec}"
        newest = f"{spec}/{repository.versions(refs, spec)[0]}" if "/" not in spec else spec
        entry = entries[newest]
        return f"{entry}: {entry.reason}" if entry.reason else ""

    def _unload_asked(self, spec: str) -> str:
        """Stop serving ``spec``; return why all of it stays, or an empty text.

        Of the versions of a model, those stay that the settings want.
        """
        before = [ref for ref in self._bundles if means(spec, ref)]
        self._wanted.withdraw(spec, versions_too=True)
        self._settle_all(force=False, default=self._publisher.default)
        left = [ref for ref in self._bundles if means(spec, ref)]
        if left and not set(before) - set(left):
            return f"{', '.join(left)} stays: the server's settings want it"
        return ""

    def _open_graph(self, kind: str, ref: str) -> str:
        """Open the graph of that ``kind`` of ``ref``; return the error or an empty text."""
        error = self._bundles.open_graph(kind, ref)
        self._publish(self._publisher.default)
        return error

    # wanted bundles

    def _settle_all(self, force: bool, default: str, insisted: str = "") -> None:
        """Load the bundles that are wanted and can be loaded, and publish the catalog.

        ``default`` stays the default bundle where the one that is wanted cannot be served.
        ``force`` tries again bundles that were refused, and those that may still be being copied.
        ``insisted`` is a spec that is loaded beside the wanted ones, even if loading it killed
        engines.
        """
        self._looked = self._clock()
        self._attempts.begin()
        there = repository.scan(self._config.models)
        self._publisher.found(there)

        def settle(spec: str) -> str | None:
            return self._settle(spec, there, force, insisted)

        default = settle(self._wanted.default) or default
        self._serving = {default}
        for spec in (*self._wanted.others(there), *filter(None, [insisted])):
            self._serving.add(settle(spec) or "")
        self._retire_unwanted()
        for ref in set(self._publisher.entries) - set(there) - set(self._bundles):
            self._bundles.forget(ref)
        self._attempts.end(there)
        self._publish(default)

    def _settle(self, spec: str, there: Look, force: bool, insisted: str) -> str | None:
        """Return the bundle that serves ``spec``, loaded if need be; None if none can."""
        if "/" in spec:
            return spec if self._serves(spec, there, force, insisted) else None
        for version in repository.versions(there, spec):
            ref = f"{spec}/{version}"
            if self._serves(ref, there, force, insisted):
                return ref
            if not self._bundles.may_pass_over(ref):
                log.error("%s is waited for: no older version takes its place at a start", ref)
                break
        newest = repository.versions(self._bundles, spec)  # removed from the disk, still loaded
        return f"{spec}/{newest[0]}" if newest else None

    def _serves(self, ref: str, there: Look, force: bool, insisted: str) -> bool:
        """Return whether ``ref`` is served; load it first if it is new or has changed."""
        if self._attempts.is_due(ref, there, ref in self._bundles, force):
            insist = means(insisted, ref)
            error = self._bundles.bring(ref, insist, lambda: self._publish(self._publisher.default))
            if isinstance(error, BundleUnreadable):
                self._attempts.forget(ref)  # it may be readable at the next look
        return ref in self._bundles

    def _retire_unwanted(self) -> bool:
        """Retire the bundles that are not wanted any more; return whether there were any."""
        key, others = self._bundles.key, self._other_engines
        unwanted = (ref for ref in self._bundles if ref not in self._serving)
        retired = [x for x in unwanted if not answered_by(others, x, key(x))]
        for ref in retired:
            self._bundles.retire(ref, "it is not wanted any more")
            self._attempts.forget(ref)
        return bool(retired)

    def _publish(self, default: str) -> None:
        serving = [x for x in self._bundles if x in self._serving or x == default]
        self._publisher.publish(default, serving, self._wanted.asked)
