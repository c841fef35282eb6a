"""What is served: each engine writes it down, every HTTP worker reads it.

The file in the runtime directory outlives an engine: the next one serves the same models.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from server.bundle.manifest import BundleError, Manifest, manifest_of
from server.errors import EngineUnavailable, ModelNotFound, ModelUnavailable
from server.ipc.atomic_file import write_whole

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"
"""States of a bundle, as the Open Inference Protocol's repository index calls them."""
NOT_ASKED = "it was not asked for"
"""Why a bundle is not served that nothing is wrong with."""


@dataclass(frozen=True)
class Entry:
    """One bundle of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""
    """Why it is not served; of a served one, why what is on the disk now is not."""
    key: int = 0
    """Of the bundle that is served, see ``Bundle.key``."""
    manifest: Manifest | None = None
    """Of the bundle that is served, without what parity measured."""
    plan: str = ""
    """How it is run, as ``provider/precision``."""
    instead_of: str = ""
    """The plan that was wanted more and could not serve."""

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Catalog:
    """All bundles of the repository, and which one answers those who name none.

    It is empty where the file was lost, until an engine has written it anew.
    """

    default: str = ""
    """As ``name/version``."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """By ``name/version``."""
    asked: tuple[str, ...] = ()
    """What administrators had loaded beside what the settings say, ``name`` or ``name/version``."""
    newest: dict[str, str] = field(default_factory=dict)
    """The version that answers those who name a model alone, by the model's name."""

    def find(self, name: str | None = None, version: str | None = None) -> Entry:
        """Return the bundle that is called so; the default model, its newest version.

        Raises:
            EngineUnavailable: no engine has said yet what there is.
            ModelNotFound: the repository has none of that name.
            ModelUnavailable: it has, but does not serve it.
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
        """Tell whether the bundle ``ref`` of that key answers those who name no version."""
        name, _, version = ref.partition("/")
        entry = self.entries.get(ref)
        named = ref == self.default or self.newest.get(name) == version
        return named and entry is not None and entry.key == key and entry.manifest is not None

    def write(self, path: Path) -> None:
        """Write the catalog to ``path``, whole or not at all."""
        facts = asdict(self)
        facts["entries"] = [asdict(entry) for entry in self.entries.values()]
        write_whole(path, json.dumps(facts))

    @classmethod
    def read(cls, path: Path) -> "Catalog":
        """Return the catalog in ``path``.

        Raises:
            BundleError: there is none, or it is none.
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
    """Return what several engines serve together; there is one catalog at least.

    What the most of them serve answers: a pointer moves once all have what it moves to.
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
    """Return the one of ``refs`` that the most engines serve; of equals, that the most name."""

    def served(ref: str) -> int:
        entries = [x.entries[ref] for x in catalogs if ref in x.entries]
        return sum(entry.manifest is not None for entry in entries)

    return max(refs, key=lambda ref: (served(ref), refs.count(ref)))


def _most_alike(entries: Sequence[Entry]) -> Entry:
    """Return the entry that the most engines have; one that is served, if any is.

    What another engine refuses is told with it.
    """
    keys = [entry.key for entry in entries if entry.manifest]
    best = max(
        entries,
        key=lambda x: (x.manifest is not None, keys.count(x.key), x.reason != NOT_ASKED),
    )
    refused = [x for x in entries if not x.manifest and x.reason not in ("", NOT_ASKED)]
    if best.manifest and refused and not best.reason:
        return replace(best, reason=f"an engine does not serve it: {refused[0].reason}")
    return best


def facts_of(manifest: Manifest) -> Manifest:
    """Return ``manifest`` without what parity measured, which is long."""
    return replace(manifest, variants=[replace(x, parity={}) for x in manifest.variants])


def _entry(facts: dict[str, Any], place: str) -> Entry:
    manifest = facts.pop("manifest")
    return Entry(**facts, manifest=manifest and manifest_of(manifest, place))
