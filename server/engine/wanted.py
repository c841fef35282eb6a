"""The policy that decides which bundles should be served, and which are due to be loaded.

The contents of the repository are passed in, and nothing here loads or serves. A spec is ``name``,
which means a model's newest version that can be served, or ``name/version``.
"""

from collections.abc import Iterable, Mapping

from server.bundle.manifest import LATEST
from server.bundle.repository import Seen
from server.config import ServerConfig

Look = Mapping[str, Seen]
"""The contents of the repository: the state of each bundle's directory, by ``name/version``."""


class Wanted:
    """The specs that the settings and administrators want to be served."""

    def __init__(self, config: ServerConfig, asked: Iterable[str] = ()) -> None:
        self._config = config
        self.asked = list(asked)
        """The specs that administrators had loaded beside those of the settings."""

    @property
    def default(self) -> str:
        """Return the spec that answers requests without a model."""
        model, version = self._config.model, self._config.version
        return model if version == LATEST else f"{model}/{version}"

    def others(self, there: Look) -> list[str]:
        """Return the specs wanted beside the default, given the repository's contents."""
        beside = self._config.served_beside
        return [*(sorted(there) if "all" in beside else beside), *self.asked]

    def ask(self, spec: str) -> None:
        """Note that an administrator had ``spec`` loaded."""
        self.asked = [*(x for x in self.asked if x != spec), spec]

    def withdraw(self, spec: str, versions_too: bool = False) -> None:
        """Note that ``spec``, and with ``versions_too`` each of its versions, is not asked for."""
        if versions_too:
            self.asked = [x for x in self.asked if not means(spec, x)]
        else:
            self.asked = [x for x in self.asked if x != spec]


class LoadAttempts:
    """The record of attempts to load bundles, which tells which bundles are due to be loaded."""

    def __init__(self) -> None:
        self._tried: dict[str, Seen] = {}
        """The state of each bundle's directory when it was loaded or refused last."""
        self._tried_now: set[str] = set()
        """The bundles that were tried in this scan: two specs may mean the same bundle."""
        self._before: Look = {}
        """The repository's contents at the last scan: a bundle that is being copied changes."""

    def begin(self) -> None:
        """Begin a scan of the repository."""
        self._tried_now = set()

    def end(self, there: Look) -> None:
        """End a scan of the repository, which found what is ``there``."""
        self._before = there

    def is_due(self, ref: str, there: Look, is_loaded: bool, force: bool) -> bool:
        """Return whether the bundle ``ref`` should be loaded now, and note the attempt.

        ``force`` tries again a bundle that was refused, and one that may still be being copied.
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
        """Forget that a bundle was tried, as it may be wanted again."""
        self._tried.pop(ref, None)


def means(spec: str, ref: str) -> bool:
    """Return whether the bundle ``ref`` is one that ``spec`` means."""
    return spec in (ref, ref.partition("/")[0])
