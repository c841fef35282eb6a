"""What is served: the engine writes it down, every HTTP worker reads it.

The file in the runtime directory outlives an engine: the next one serves the same models.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from server.bundle import BundleError, Manifest, manifest_of
from server.errors import ModelNotFound, ModelUnavailable

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"
"""States of a bundle, as the Open Inference Protocol's repository index calls them."""


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
    """All bundles of the repository, and which one answers those who name none."""

    default: str
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
            ModelNotFound: the repository has none of that name.
            ModelUnavailable: it has, but does not serve it.
        """
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

    def write(self, path: Path) -> None:
        """Write the catalog to ``path``, whole or not at all."""
        facts = asdict(self)
        facts["entries"] = [asdict(entry) for entry in self.entries.values()]
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(facts))
        draft.replace(path)

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


def facts_of(manifest: Manifest) -> Manifest:
    """Return ``manifest`` without what parity measured, which is long."""
    return replace(manifest, variants=[replace(x, parity={}) for x in manifest.variants])


def _entry(facts: dict[str, Any], place: str) -> Entry:
    manifest = facts.pop("manifest")
    return Entry(**facts, manifest=manifest and manifest_of(manifest, place))
