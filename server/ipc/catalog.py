"""The catalog of the bundles that are served: each engine writes one, every HTTP worker reads it.

The catalog's file in the runtime directory outlives an engine, so that the next engine serves the
same models.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from server.bundle.files import floats_key, gradient_key
from server.bundle.manifest import FLOATS, BundleError, Manifest, manifest_of
from server.errors import EngineUnavailable, ModelNotFound, ModelUnavailable
from server.ipc.atomic_file import write_whole

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"
"""The states of a bundle, as the Open Inference Protocol's repository index calls them."""
NOT_ASKED = "it was not asked for"
"""The reason given for a sound bundle that is not served."""


@dataclass(frozen=True)
class Entry:
    """One bundle of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""
    """The reason why the bundle is not served, or, if it is, why its newer files are not."""
    key: int = 0
    """The served bundle's ``Bundle.key``; 0 when it is not served."""
    manifest: Manifest | None = None
    """The served bundle's manifest without its parity results; None when it is not served."""
    plan: str = ""
    """The plan that runs the bundle, as ``provider/precision``."""
    instead_of: str = ""
    """The preferred plan that could not serve the bundle; empty when the preferred one serves."""
    float_plan: str = ""
    """The plan that draws the bundle's float images; empty while their graph is not open."""
    no_floats: str = ""
    """The reason why the bundle's graph of float images cannot be opened; empty if it may be."""
    gradient_plan: str = ""
    """The plan that gives the bundle's gradient; empty while its graph is not open."""
    no_gradient: str = ""
    """The reason why the graph of the gradient cannot be opened; empty if it may be."""

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def floats_key(self) -> int:
        """The key of the bundle's float images."""
        return floats_key(self.key)

    @property
    def gradient_key(self) -> int:
        """The key of the bundle's gradient."""
        return gradient_key(self.key)

    def key_of(self, kind: str) -> int:
        """Return the key of what a graph of that ``kind`` gives, FLOATS or GRADIENT."""
        return self.floats_key if kind == FLOATS else self.gradient_key

    def plan_of(self, kind: str) -> str:
        """Return the plan that runs the graph of that ``kind``; empty while it is not open."""
        return self.float_plan if kind == FLOATS else self.gradient_plan

    def refusal_of(self, kind: str) -> str:
        """Return why the graph of that ``kind`` cannot be opened; empty if it may be."""
        return self.no_floats if kind == FLOATS else self.no_gradient


@dataclass(frozen=True)
class Catalog:
    """All bundles of the repository, and which one answers a request that names no model.

    The catalog is empty when its file was lost, until an engine has written it anew.
    """

    default: str = ""
    """The bundle that answers a request without a model, as ``name/version``."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """The bundles by ``name/version``."""
    asked: tuple[str, ...] = ()
    """The bundles loaded by administrators beside the settings' own, ``name[/version]``."""
    newest: dict[str, str] = field(default_factory=dict)
    """The version that answers a request with a model but no version, by the model's name."""

    def find(self, name: str | None = None, version: str | None = None) -> Entry:
        """Return the bundle called ``name`` and ``version``.

        Without ``name`` the model is the default one, without ``version`` the newest served.

        Raises:
            EngineUnavailable: no engine has written a catalog yet.
            ModelNotFound: the repository has no such bundle.
            ModelUnavailable: the repository has the bundle, but no engine serves it.
        """
        if not self.entries:
            raise EngineUnavailable
        if name is None and version is None:
            entry = self.entries[self.default]
        else:
            name = name or self.default.partition("/")[0]
            version = version or self.newest.get(name, "")
            found = self.entries.get(f"{name}/{version}")
            if found is None:
                served = sorted(str(x) for x in self.entries.values() if x.state == READY)
                raise ModelNotFound(f"{name}/{version}" if version else name, served)
            entry = found
        if entry.manifest is None:
            raise ModelUnavailable(str(entry), entry.state, entry.reason)
        return entry

    def answers_with(self, ref: str, key: int) -> bool:
        """Tell whether the bundle ``ref`` with ``key`` answers requests that name no version."""
        name, _, version = ref.partition("/")
        entry = self.entries.get(ref)
        named = ref == self.default or self.newest.get(name) == version
        return named and entry is not None and entry.key == key and entry.manifest is not None

    def write(self, path: Path) -> None:
        """Write the catalog to ``path`` atomically."""
        facts = asdict(self)
        facts["entries"] = [asdict(entry) for entry in self.entries.values()]
        write_whole(path, json.dumps(facts))

    @classmethod
    def read(cls, path: Path) -> "Catalog":
        """Return the catalog in ``path``.

        Raises:
            BundleError: the file is missing, or is no catalog.
        """
        try:
            facts = json.loads(path.read_text())
            entries = [_entry(x, str(path)) for x in facts["entries"]]
            return cls(
                facts["default"],
                {str(entry): entry for entry in entries},
                tuple(facts["asked"]),
                facts["newest"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path} is no catalog: {error!r}") from error


def merge(catalogs: Sequence[Catalog]) -> Catalog:
    """Return one catalog of what several engines serve; ``catalogs`` holds at least one.

    The default and the newest versions are those that the most engines serve: they change only
    once every engine serves the new one.
    """
    if len(catalogs) == 1:
        return catalogs[0]
    names = sorted({name for catalog in catalogs for name in catalog.newest})
    refs = sorted({ref for catalog in catalogs for ref in catalog.entries})
    return Catalog(
        _most_served([catalog.default for catalog in catalogs], catalogs),
        {ref: _most_alike([x.entries[ref] for x in catalogs if ref in x.entries]) for ref in refs},
        tuple(sorted({spec for catalog in catalogs for spec in catalog.asked})),
        {name: _newest(name, catalogs) for name in names},
    )


def _newest(name: str, catalogs: Sequence[Catalog]) -> str:
    wanted = [f"{name}/{x.newest[name]}" for x in catalogs if name in x.newest]
    return _most_served(wanted, catalogs).partition("/")[2]


def _most_served(refs: Sequence[str], catalogs: Sequence[Catalog]) -> str:
    """Return the one of ``refs`` that the most engines serve; a tie goes to the most named."""

    def served(ref: str) -> int:
        entries = [x.entries[ref] for x in catalogs if ref in x.entries]
        return sum(entry.manifest is not None for entry in entries)

    return max(refs, key=lambda ref: (served(ref), refs.count(ref)))


def _most_alike(entries: Sequence[Entry]) -> Entry:
    """Return the entry that the most engines agree on, and a served one if there is any.

    Its reason says when another engine refuses the bundle. An engine that draws float images goes
    before one that does not yet, and that one before one that cannot; and so with gradients.
    """
    keys = [entry.key for entry in entries if entry.manifest]
    best = max(
        entries,
        key=lambda x: (
            x.manifest is not None,
            keys.count(x.key),
            x.float_plan != "",
            x.no_floats == "",
            x.gradient_plan != "",
            x.no_gradient == "",
            x.reason != NOT_ASKED,
        ),
    )
    refused = [x for x in entries if not x.manifest and x.reason not in ("", NOT_ASKED)]
    if best.manifest and refused and not best.reason:
        return replace(best, reason=f"an engine does not serve it: {refused[0].reason}")
    return best


def facts_of(manifest: Manifest) -> Manifest:
    """Return ``manifest`` without its parity results, which are long."""
    return replace(manifest, variants=[replace(x, parity={}) for x in manifest.variants])


def _entry(facts: dict[str, Any], place: str) -> Entry:
    manifest = facts.pop("manifest")
    return Entry(**facts, manifest=manifest and manifest_of(manifest, place))
