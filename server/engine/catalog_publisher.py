"""The catalog that an engine publishes: the bundles it serves, and why it refuses the others."""

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from server.bundle import repository
from server.bundle.files import Bundle
from server.bundle.manifest import FLOATS, GRADIENT, BundleError
from server.engine.loaded import Loaded
from server.ipc.catalog import LOADING, NOT_ASKED, READY, UNAVAILABLE, Catalog, Entry, facts_of
from server.ipc.engine_dir import EngineDir

log = logging.getLogger(__name__)


class CatalogPublisher:
    """Keeps the entry of every bundle, and writes the catalog when something in it has changed.

    ``announce``, once it is set, is called after each change and tells the HTTP workers.
    """

    def __init__(self, engine_dir: EngineDir) -> None:
        self._engine_dir = engine_dir
        self.catalog = _catalog_of(engine_dir)
        """The catalog as it was published last, perhaps by this engine's predecessor."""
        self.entries: dict[str, Entry] = {}
        self.announce: Callable[[], None] | None = None
        self._unwritten = False
        """Whether the file system did not take the catalog as it is now."""

    @property
    def default(self) -> str:
        """Return the bundle that answers requests without a model, as ``name/version``."""
        return self.catalog.default

    @property
    def answered(self) -> set[str]:
        """Return the names of the models that the engine before has served."""
        return {x.name for x in self.catalog.entries.values() if x.state == READY}

    @property
    def used(self) -> dict[str, set[str]]:
        """Return the names of the models whose graphs the engine before had open, by their kind."""
        entries = self.catalog.entries.values()
        return {kind: {x.name for x in entries if x.plan_of(kind)} for kind in (FLOATS, GRADIENT)}

    @property
    def is_lost(self) -> bool:
        """Return whether the catalog's file was removed, or could not be written."""
        return self._unwritten or not self._engine_dir.catalog.exists()

    def reasons(self) -> str:
        """Return why the bundles that were tried are not served."""
        tried = [x for x in self.entries.values() if x.reason not in ("", NOT_ASKED)]
        return "; ".join(f"{x}: {x.reason}" for x in tried) or "it is not there"

    def found(self, refs: Iterable[str]) -> None:
        """Note the bundles of the repository; the new ones among them are not asked for."""
        for ref in refs:
            self.entries.setdefault(ref, _entry(ref, UNAVAILABLE, NOT_ASKED))

    def loading(self, ref: str) -> None:
        """Note that a bundle which was not served before is being loaded."""
        self.entries[ref] = _entry(ref, LOADING, "")

    def serves(self, ref: str, bundle: Bundle, loaded: Loaded) -> None:
        """Note that a bundle is served, with the plan that runs it."""
        facts = facts_of(bundle.manifest)
        instead_of = str(loaded.failed[0]) if loaded.failed else ""
        self.entries[ref] = _entry(ref, READY, "", bundle.key, facts, str(loaded.plan), instead_of)
        self.on_demand(ref, loaded)

    def on_demand(self, ref: str, loaded: Loaded) -> None:
        """Note whether float images and the gradient of a served bundle can be had, and how."""
        floats, gradient = loaded.on_demand[FLOATS], loaded.on_demand[GRADIENT]
        self.entries[ref] = replace(
            self.entries[ref],
            float_plan=str(floats.loaded.plan) if floats.loaded else "",
            no_floats=floats.refusal,
            gradient_plan=str(gradient.loaded.plan) if gradient.loaded else "",
            no_gradient=gradient.refusal,
        )

    def unchanged(self, ref: str, bundle: Bundle) -> None:
        """Note that the bundle on the disk draws what the served one does."""
        facts = facts_of(bundle.manifest)
        self.entries[ref] = replace(self.entries[ref], reason="", manifest=facts)

    def refuses(self, ref: str, reason: str, is_served: bool) -> None:
        """Note why a bundle cannot be served, or why its newer files cannot if it ``is_served``."""
        if is_served:
            reason = f"what is on the disk now is refused: {reason}"
            self.entries[ref] = replace(self.entries[ref], reason=reason)
        else:
            self.entries[ref] = _entry(ref, UNAVAILABLE, reason)

    def retired(self, ref: str, why: str) -> None:
        """Note that a bundle is not served any more, and why."""
        self.entries[ref] = _entry(ref, UNAVAILABLE, why)

    def waits(self, reason: str) -> None:
        """Tell why the default bundle is not served yet, in the catalog of the engine before."""
        catalog = _catalog_of(self._engine_dir)
        if entry := catalog.entries.get(catalog.default):
            catalog.entries[str(entry)] = replace(entry, reason=reason)
            with suppress(OSError):  # a full file system takes no catalog
                catalog.write(self._engine_dir.catalog)

    def publish(self, default: str, serving: Collection[str], asked: Iterable[str]) -> None:
        """Write the catalog and tell the HTTP workers, if anything in it has changed.

        ``serving`` are the bundles that are served and wanted. While the ``default`` is not among
        them, the file stays as the engine before wrote it.
        """
        names = {ref.partition("/")[0] for ref in serving}
        newest = {name: repository.versions(serving, name)[0] for name in names}
        if default in serving:
            name, _, newest_version = default.partition("/")
            newest[name] = newest_version
        catalog = Catalog(default, dict(sorted(self.entries.items())), tuple(asked), newest)
        if catalog == self.catalog and not self.is_lost:
            return
        if default != self.default and self.announce:
            log.info("%s answers now, instead of %s", default, self.default)
        self.catalog = catalog
        if default in serving and self._write() and self.announce:
            self.announce()

    def _write(self) -> bool:
        """Write the catalog's file; return whether the file system took it."""
        try:
            self.catalog.write(self._engine_dir.catalog)
        except OSError as error:
            if not self._unwritten:
                log.error("the catalog cannot be written, which is tried again: %s", error)
            self._unwritten = True
            return False
        self._unwritten = False
        return True


def answered_by(engine_dirs: Iterable[EngineDir], ref: str, key: int) -> bool:
    """Return whether one of these engines answers with the bundle ``ref`` of that key.

    It has no successor of the bundle yet: the HTTP workers move to a new version when every engine
    has it.
    """
    for engine_dir in engine_dirs:
        with suppress(BundleError):
            if Catalog.read(engine_dir.catalog).answers_with(ref, key):
                return True
    return False


def _catalog_of(engine_dir: EngineDir) -> Catalog:
    """Return the catalog of the engine before; it is empty if the file was removed."""
    try:
        return Catalog.read(engine_dir.catalog)
    except BundleError as error:
        log.error("an engine starts as if nothing had been asked for: %s", error)
        return Catalog()


def _entry(ref: str, state: str, reason: str, *more: object) -> Entry:
    name, version = ref.split("/")
    return Entry(name, version, state, reason, *more)  # type: ignore[arg-type]
