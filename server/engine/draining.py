"""The retired bundles, which are kept while a request for them may still be on its way."""

from collections.abc import Callable
from typing import Protocol

from server.bundle.files import Bundle
from server.engine.loaded import Loaded
from server.runtime.session import give_back_memory

RETIRE_S = 3.0
"""The seconds that a retired bundle is kept at least: HTTP workers may still have to read the new
catalog."""


class Metrics(Protocol):
    """The metrics of retired bundles."""

    def retired(self, bundle: Bundle) -> None: ...


class Draining:
    """The bundles that are not served any more, but may still be asked for."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._kept: list[tuple[float, Bundle, Loaded]] = []

    def add(self, bundle: Bundle, loaded: Loaded) -> None:
        """Keep a bundle that is retired now."""
        self._kept.append((self._clock(), bundle, loaded))

    def take_back(self, key: int) -> Loaded | None:
        """Return the bundle of that key to be served again; None if it is not kept any more."""
        for kept in self._kept:
            if kept[1].key == key:
                self._kept.remove(kept)
                return kept[2]
        return None

    def let_go(self, remove: Callable[[int], bool]) -> None:
        """Free the bundles whose time is over.

        ``remove`` has the engine remove what has a key, a bundle or its float images; it returns
        whether the engine did, which it does not while a request waits for that.
        """
        due = [
            kept
            for kept in self._kept
            if self._clock() - kept[0] >= RETIRE_S
            and all(remove(served.key) for served in kept[2].all_served)
        ]
        for kept in due:
            self._kept.remove(kept)
            _, bundle, loaded = kept
            self._metrics.retired(bundle)
            for served in loaded.all_served:
                served.close()
        if due:
            give_back_memory()
