"""Bundles that the catalog names no more, kept while a request may still be on its way to them."""

from collections.abc import Callable
from typing import Protocol

from server.bundle.manifest import Bundle
from server.engine.loader import Loaded
from server.runtime.session import give_back_memory

RETIRE_S = 3.0
"""How long a bundle is kept at least: HTTP workers may not have read the new catalog yet."""


class Metrics(Protocol):
    """Who is told that a bundle is gone."""

    def retired(self, bundle: Bundle) -> None: ...


class Draining:
    """What was served and may be asked for still."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._kept: list[tuple[float, Bundle, Loaded]] = []

    def add(self, bundle: Bundle, loaded: Loaded) -> None:
        """Keep a bundle from now on."""
        self._kept.append((self._clock(), bundle, loaded))

    def take_back(self, key: int) -> Loaded | None:
        """Return the bundle of that key, if it is still there: it is served again."""
        for kept in self._kept:
            if kept[1].key == key:
                self._kept.remove(kept)
                return kept[2]
        return None

    def let_go(self, remove: Callable[[int], bool]) -> None:
        """Free those whose time is over; ``remove`` says of a key that nobody waits for it."""
        due = [x for x in self._kept if self._clock() - x[0] >= RETIRE_S and remove(x[1].key)]
        for kept in due:
            self._kept.remove(kept)
            _, bundle, loaded = kept
            self._metrics.retired(bundle)
            loaded.served.close()
        if due:
            give_back_memory()
