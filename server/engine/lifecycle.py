"""Follows the model repository: loads what is wanted, moves the pointer, lets go of the rest.

A new version is loaded beside the old one, proven on this host, and only then named in the catalog.
What cannot be loaded is refused by name, and the old one goes on serving. The old one stays for
as long as a request may still be on its way to it.

What engines died of while they loaded it is refused too, see ``server.engine.loader.noted``.

More than 300 lines: what is there, wanted, loaded and told is one state, and one class has it.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Protocol

from server.bundle import repository
from server.bundle.manifest import LATEST, Bundle, BundleError
from server.config import ServerConfig
from server.engine.draining import Draining
from server.engine.loader import Loaded, at_low_priority, noted
from server.engine.models import ServedModel
from server.ipc.catalog import LOADING, NOT_ASKED, READY, UNAVAILABLE, Catalog, Entry, facts_of
from server.ipc.engine_dir import EngineDir
from server.ipc.messages import Ask
from server.runtime.plans import Plan, SessionError

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often the keeper looks whether something is to be done."""

Answer = Callable[[str], None]


class Metrics(Protocol):
    """Whom the keeper tells what is served."""

    def serving(self, bundle: Bundle, plan: Plan, failed: list[Plan]) -> None: ...
    def retired(self, bundle: Bundle) -> None: ...
    def refused(self, ref: str, is_refused: bool) -> None: ...


class Hall(Protocol):
    """Who serves what the keeper loads; ``server.engine.engine.Engine`` is one."""

    def add(self, served: ServedModel) -> None: ...
    def remove(self, key: int) -> bool: ...
    def announce(self) -> None: ...


class Lifecycle:
    """Decides what is served, and keeps the catalog of it."""

    def __init__(
        self,
        config: ServerConfig,
        load: Callable[[Bundle], Loaded],
        metrics: Metrics,
        engine_dir: EngineDir,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._load = load
        self._metrics = metrics
        self._clock = clock
        self._hall: Hall | None = None
        self._engine_dir = engine_dir
        self._others = [other for other in config.engine_dirs if other != engine_dir]
        """The folders of the other engines."""
        self._catalog = _catalog_of(engine_dir)
        self._entries: dict[str, Entry] = {}
        self._loaded: dict[str, tuple[Bundle, Loaded]] = {}
        self._wanted: set[str] = set()
        self._retired = Draining(metrics, clock)
        self._tried: dict[str, repository.Seen] = {}
        """What each bundle looked like when it was loaded or refused last."""
        self._just_tried: set[str] = set()
        """This time: two wishes for one bundle need not try it twice."""
        self._before: dict[str, repository.Seen] = {}
        """What the repository looked like last time: a bundle still being copied changes."""
        self._asked = list(self._catalog.asked)
        self._insisted = ""
        """What is tried at this moment although engines died of it, as ``asked`` has it."""
        self._inbox: SimpleQueue[tuple[Ask, Answer]] = SimpleQueue()
        self._looked = clock()

    def start(self) -> list[Loaded]:
        """Load what is wanted, and return it.

        Raises:
            SessionError: the default model cannot be served.
        """
        self._settle_all(force=True, default="")
        if self._catalog.default not in self._loaded and self._engine_dir.all_loads:
            self._insist(self._default_spec, default="")  # what engines died of is all there is
        if self._catalog.default not in self._loaded:
            wanted = f"{self._config.model}/{self._config.version}"
            reasons = [f"{x}: {x.reason}" for x in self._entries.values() if x.reason]
            raise SessionError(
                f"{wanted} cannot be served: {'; '.join(reasons) or 'it is not there'}"
            )
        return [loaded for _, loaded in self._loaded.values()]

    def follow(self, hall: Hall) -> threading.Thread:
        """Keep ``hall`` serving what is wanted, from a thread that ends with the process."""
        self._hall = hall
        thread = threading.Thread(target=self._follow, name="keeper", daemon=True)
        thread.start()
        return thread

    def ask(self, ask: Ask, answer: Answer) -> None:
        """Do what an administrator wants as soon as may be, and ``answer`` then."""
        self._inbox.put((ask, answer))

    def _follow(self) -> None:
        while True:
            try:
                self._do(*self._inbox.get(timeout=LOOK_S))
            except Empty:
                self.look()
            except Exception:
                log.exception("the model repository could not be looked at")

    def look(self) -> None:
        """Look at the repository, if it is time to or somebody wants it; let go of what is old."""
        note = self._engine_dir.rescan
        if note.exists():
            note.unlink(missing_ok=True)
            log.info("looking at the model repository: the server was told to")
            self._settle_all(force=True, default=self._catalog.default)
        elif self._config.poll_s and self._clock() - self._looked >= self._config.poll_s:
            self._settle_all(force=False, default=self._catalog.default)
        if self._retire_unwanted() or not self._engine_dir.catalog.exists():
            self._publish(self._catalog.default)
        self._retired.let_go(self._hall.remove if self._hall else lambda _: True)

    # what administrators want

    def _do(self, ask: Ask, answer: Answer) -> None:
        spec = f"{ask.name}/{ask.version}" if ask.version else ask.name
        try:
            answer(self._load_asked(spec) if ask.action == "load" else self._unload_asked(spec))
        except Exception as error:
            log.exception("%s %s", ask.action, spec)
            answer(f"{type(error).__name__}: {error}")

    def _load_asked(self, spec: str) -> str:
        """Serve ``spec``, a model's newest version or a certain one; return why not, or nothing."""
        self._insist(spec, self._catalog.default)
        refs = [ref for ref in self._entries if _is_of(ref, spec)]
        is_there = any(ref in self._loaded for ref in refs)
        before = [x for x in self._asked if x != spec]
        self._asked = [*before, spec] if is_there else before
        self._publish(self._catalog.default)
        if not is_there:
            told = [f"{ref}: {self._entries[ref].reason}" for ref in refs]
            return "; ".join(told) or f"the repository has no {spec}"
        newest = f"{spec}/{repository.versions(refs, spec)[0]}" if "/" not in spec else spec
        entry = self._entries[newest]
        return f"{entry}: {entry.reason}" if entry.reason else ""

    def _unload_asked(self, spec: str) -> str:
        """Serve ``spec`` no more; return why it stays, or nothing."""
        self._asked = [x for x in self._asked if not _is_of(x, spec)]
        self._settle_all(force=False, default=self._catalog.default)
        left = [ref for ref in self._loaded if _is_of(ref, spec)]
        if left:
            return f"{', '.join(left)} stays: the server's settings want it"
        return ""

    # what is wanted

    @property
    def _default_spec(self) -> str:
        config = self._config
        return config.model if config.version == LATEST else f"{config.model}/{config.version}"

    def _insist(self, spec: str, default: str) -> None:
        """Load ``spec`` beside what is wanted, even if engines have died of it."""
        self._insisted = spec
        try:
            self._settle_all(force=True, default=default)
        finally:
            self._insisted = ""

    def _settle_all(self, force: bool, default: str) -> None:
        """Load what is wanted and can be, and publish what is served then.

        ``force`` tries again what was refused, and what may still be being copied.
        """
        config = self._config
        self._looked = self._clock()
        self._just_tried = set()
        there = repository.scan(config.models)
        for ref in there:
            self._entries.setdefault(ref, _entry(ref, UNAVAILABLE, NOT_ASKED))
        default = self._settle(self._default_spec, there, force) or default
        self._wanted = {default}
        others = config.served_beside
        if "all" in others:
            others = sorted(there)
        for spec in filter(None, (*others, *self._asked, self._insisted)):
            self._wanted.add(self._settle(spec, there, force) or "")
        self._retire_unwanted()
        for ref in [ref for ref in self._entries if ref not in there and ref not in self._loaded]:
            self._metrics.refused(ref, False)
            del self._entries[ref]
        self._before = there
        self._publish(default)

    def _settle(self, spec: str, there: dict[str, repository.Seen], force: bool) -> str | None:
        """Return the bundle that serves ``spec``, loaded if need be; None where none can."""
        if "/" in spec:
            return spec if self._serves(spec, there, force) else None
        for version in repository.versions(there, spec):
            ref = f"{spec}/{version}"
            if self._serves(ref, there, force):
                return ref
        newest = repository.versions(self._loaded, spec)  # not there any more, but still loaded
        return f"{spec}/{newest[0]}" if newest else None

    def _serves(self, ref: str, there: dict[str, repository.Seen], force: bool) -> bool:
        """Tell whether ``ref`` is served, and load it if it is new or has changed."""
        seen = there.get(ref)
        unchanged = self._tried.get(ref) == seen
        copying = self._before.get(ref) != seen
        if seen is None or (unchanged and ref in self._loaded):
            return ref in self._loaded
        if ref in self._just_tried or (not force and (unchanged or copying)):
            return ref in self._loaded
        self._just_tried.add(ref)
        self._tried[ref] = seen
        try:
            self._bring(ref)
        except Exception as error:  # whatever is wrong with it, the others go on
            self._refuse(ref, error)
        return ref in self._loaded

    def _bring(self, ref: str) -> None:
        """Load ``ref`` and have it served; what it replaces is retired."""
        bundle = repository.load(self._config.models, ref)
        old = self._loaded.get(ref)
        self._metrics.refused(ref, False)
        if old and old[0].key == bundle.key:
            self._entries[ref] = replace(self._entries[ref], reason="")
            return
        loaded = self._retired.take_back(bundle.key) or self._make(bundle, ref)
        if old:
            self._retire(ref, "another took its place")
        self._loaded[ref] = bundle, loaded
        facts = facts_of(bundle.manifest)
        instead_of = str(loaded.failed[0]) if loaded.failed else ""
        self._entries[ref] = _entry(ref, READY, "", bundle.key, facts, str(loaded.plan), instead_of)
        self._metrics.serving(bundle, loaded.plan, loaded.failed)
        if self._hall:
            self._hall.add(loaded.served)

    def _make(self, bundle: Bundle, ref: str) -> Loaded:
        began = self._clock()
        with noted(self._engine_dir, bundle, insist=_is_of(ref, self._insisted)):
            loaded = self._opened(bundle, ref)
        log.info(
            "serving %s on %s in %s (%s), %d streams of %d threads, up to %d images a batch; "
            "ready after %.1f s",
            ref,
            loaded.plan.provider,
            loaded.plan.precision,
            loaded.plan.reason,
            len(loaded.served.runs),
            self._config.threads_a_stream,
            loaded.served.batcher.max_batch_size,
            self._clock() - began,
        )
        return loaded

    def _opened(self, bundle: Bundle, ref: str) -> Loaded:
        if not self._hall:
            return self._load(bundle)
        if ref not in self._loaded:
            self._entries[ref] = _entry(ref, LOADING, "")
            self._publish(self._catalog.default)
        return at_low_priority(lambda: self._load(bundle), self._config.threads_a_stream)

    def _refuse(self, ref: str, error: Exception) -> None:
        """Tell everywhere that ``ref`` cannot be served, or not as it is now."""
        expected = isinstance(error, (BundleError, SessionError))
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        log.error("%s is refused: %s", ref, reason, exc_info=not expected)
        self._metrics.refused(ref, True)
        if ref in self._loaded:
            self._entries[ref] = replace(
                self._entries[ref], reason=f"what is on the disk now is refused: {reason}"
            )
        else:
            self._entries[ref] = _entry(ref, UNAVAILABLE, reason)

    def _retire(self, ref: str, why: str) -> None:
        bundle, loaded = self._loaded.pop(ref)
        log.info("%s is retired: %s", ref, why)
        self._retired.add(bundle, loaded)
        self._entries[ref] = _entry(ref, UNAVAILABLE, why)

    def _retire_unwanted(self) -> bool:
        """Retire what is not wanted any more; say whether there was such."""
        unwanted = [ref for ref in self._loaded if ref not in self._wanted]
        retired = [ref for ref in unwanted if not self._answers_elsewhere(ref)]
        for ref in retired:
            self._retire(ref, "it is not wanted any more")
            del self._tried[ref]  # it may be wanted again
        return bool(retired)

    def _answers_elsewhere(self, ref: str) -> bool:
        """Tell whether another engine answers with ``ref`` still: until it has what comes after.

        The HTTP workers move to a new version when every engine has it.
        """
        for other in self._others:
            with suppress(BundleError):
                if Catalog.read(other.catalog).answers_with(ref, self._loaded[ref][0].key):
                    return True
        return False

    def _publish(self, default: str) -> None:
        """Write the catalog and tell the HTTP workers, if anything in it has changed."""
        newest: dict[str, str] = {}
        wanted = [ref for ref in self._loaded if ref in self._wanted]
        for name in {ref.partition("/")[0] for ref in wanted}:
            newest[name] = repository.versions(wanted, name)[0]
        name, _, version = default.partition("/")
        if default in self._loaded:
            newest[name] = version
        entries = dict(sorted(self._entries.items()))
        catalog = Catalog(default, entries, tuple(self._asked), newest)
        if catalog == self._catalog and self._engine_dir.catalog.exists():
            return
        if catalog.default != self._catalog.default and self._hall:
            log.info("%s answers now, instead of %s", default, self._catalog.default)
        self._catalog = catalog
        if default in self._loaded:  # a start that failed leaves what the last engine wrote
            catalog.write(self._engine_dir.catalog)
            if self._hall:
                self._hall.announce()


def _is_of(ref: str, spec: str) -> bool:
    """Tell whether ``spec``, a model or a certain version of one, means ``ref`` too."""
    return spec in (ref, ref.partition("/")[0])


def _catalog_of(engine_dir: EngineDir) -> Catalog:
    """Return what the engine before served; somebody may have removed the file."""
    try:
        return Catalog.read(engine_dir.catalog)
    except BundleError as error:
        log.error("an engine starts as if nothing had been asked for: %s", error)
        return Catalog()


def _entry(ref: str, state: str, reason: str, *more: object) -> Entry:
    name, version = ref.split("/")
    return Entry(name, version, state, reason, *more)  # type: ignore[arg-type]
