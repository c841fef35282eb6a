"""Which bundles of the repository should be served, and which are due to be loaded.

Policy only: what the repository holds is passed in, and nothing here loads or serves.
A spec is ``name``, which means a model's newest version that can be served, or ``name/version``.
"""

from collections.abc import Iterable, Mapping

from server.bundle.manifest import LATEST
from server.bundle.repository import Seen
from server.config import ServerConfig

Look = Mapping[str, Seen]
"""What the repository holds: by ``name/version``, what each bundle's directory looks like."""


class Wanted:
    """What the settings and administrators want to be served."""

    def __init__(self, config: ServerConfig, asked: Iterable[str] = ()) -> None:
        self._config = config
        self.asked = list(asked)
        """The specs that administrators had loaded beside what the settings say."""

    @property
    def default(self) -> str:
        """Return the spec that answers those who name no model."""
        model, version = self._config.model, self._config.version
        return model if version == LATEST else f"{model}/{version}"

    def others(self, there: Look) -> list[str]:
        """Return the specs that are wanted beside the default, given what is ``there``."""
        beside = self._config.served_beside
        return [*(sorted(there) if "all" in beside else beside), *self.asked]

    def ask(self, spec: str) -> None:
        """Note that an administrator had ``spec`` loaded."""
        self.asked = [*(x for x in self.asked if x != spec), spec]

    def withdraw(self, spec: str, versions_too: bool = False) -> None:
        """Note that ``spec`` is not asked for; with ``versions_too`` none of its versions is."""
        if versions_too:
            self.asked = [x for x in self.asked if not means(spec, x)]
        else:
            self.asked = [x for x in self.asked if x != spec]


class LoadAttempts:
    """Which bundles have been loaded or refused as they lie there, and which are due to be."""

    def __init__(self) -> None:
        self._tried: dict[str, Seen] = {}
        """What each bundle looked like when it was loaded or refused last."""
        self._tried_now: set[str] = set()
        """The bundles that were tried in this look: two specs may mean the same bundle."""
        self._before: Look = {}
        """What the repository looked like last time: a bundle that is being copied changes."""

    def begin(self) -> None:
        """Begin a look at the repository."""
        self._tried_now = set()

    def end(self, there: Look) -> None:
        """End a look at the repository, which held what is ``there``."""
        self._before = there

    def is_due(self, ref: str, there: Look, is_loaded: bool, force: bool) -> bool:
        """Return whether the bundle ``ref`` should be loaded now, and note that it is.

        ``force`` tries again what was refused, and what may still be being copied.
        """
        seen = there.get(ref)
        unchanged = self._tried.get(ref) == seen
        copying = self._before.get(ref) != seen
        if seen is None or (unchanged and is_loaded) or ref in self._tried_now:
            return False
        if not force and (unchanged or copying):
            return False
        self._tried_now.add(ref)
        self._tried[ref] = seen
        return True

    def forget(self, ref: str) -> None:
        """Forget that a bundle was tried: it may be wanted again."""
        self._tried.pop(ref, None)


def means(spec: str, ref: str) -> bool:
    """Return whether ``spec`` means the bundle ``ref``, perhaps among others."""
    return spec in (ref, ref.partition("/")[0])
