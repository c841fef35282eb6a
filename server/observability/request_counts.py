"""Requests that were answered, as the metrics count them: by route, status and kind."""

from collections.abc import Callable

from server.observability import metrics
from server.observability.known_series import ANY_ROUTE, BULK, SINGLE, kind_of

SEVERAL = 2
"""The number of images that stands for more than one."""


class RequestCounts:
    """Counts requests and how long they took; what counts a kind of them is looked up once."""

    def __init__(self) -> None:
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        """What notes the seconds of a request, for each route, status, and number of images."""

    def observe(self, route: str, status: str, images: int, seconds: float) -> None:
        """Count a request at ``route`` that was answered with ``status`` and so many ``images``."""
        key = route, status, min(SEVERAL, images)
        observe = self._observers.get(key) or self._observer(key)
        observe(seconds)

    def _observer(self, key: tuple[str, str, int]) -> Callable[[float], None]:
        route, status, images = key
        kind = kind_of(route, status, images)
        place = route if kind in (SINGLE, BULK) else ANY_ROUTE
        seconds = metrics.REQUEST_SECONDS.labels(place, kind)
        requests = metrics.REQUESTS.labels(route, status)

        def observe(amount: float) -> None:
            requests.inc()
            seconds.observe(amount)

        self._observers[key] = observe
        return observe
