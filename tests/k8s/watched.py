"""A server that Prometheus watches: what it is asked, and what panels and alerts show of it."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from tests.chaos.faults import Victim
from tests.k8s.prometheus import Prometheus, Samples
from tests.k8s.test_dashboard import PANELS
from tests.servers import PATIENCE_S, get

WINDOW = "30s"
"""The window of a panel's rates."""
ALL_OF_IT = "3600s"
"""A window in which all of the load lies, however long a machine takes for it."""

ELSEWHERE = ("GPU utilisation", "GPU memory", "Replicas wanted and ready", "Pod restarts",
             "CPU throttling")  # fmt: skip
"""The panels of what this machine has not: GPUs, and Kubernetes."""


class Watched:
    """A server that Prometheus watches, and what fired so far."""

    def __init__(self, victim: Victim, prometheus: Prometheus) -> None:
        self.victim = victim
        self.prometheus = prometheus
        self.fired: set[str] = set()

    def ask(self, path: str, body: object = None, key: str = "alice", **fields: str) -> int:
        """Return the status of the answer to the holder of a key."""
        place = urlsplit(self.victim.server.url)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        headers |= {"X-API-Key": key} if key else {}
        data = json.dumps(body) if body else None
        headers |= {"Content-Type": "application/json"} if body else {}
        with closing(HTTPConnection(place.netloc, timeout=PATIENCE_S)) as connection:
            connection.request("POST" if body else "GET", path, data, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def crowd(self, size: int, path: str, body: object = None, **fields: str) -> Counter[int]:
        """Return how many of ``size`` callers at once were answered with each status."""
        with ThreadPoolExecutor(size) as pool:
            found = [pool.submit(self.ask, path, body, **fields) for _ in range(size)]
        return Counter(each.result() for each in found)

    def series(self, name: str) -> set[str]:
        """Return the series of a metric that the server tells of now."""
        lines = get(f"{self.victim.server.url}/metrics").decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if line.startswith(name + "{")}

    def panel(self, title: str, query: int = 0, window: str = WINDOW) -> Samples:
        """Return what a query of a panel is worth now."""
        (found,) = [panel for panel in PANELS if panel["title"] == title]
        return self.prometheus.ask(found["targets"][query]["expr"], window)

    def worth(self, title: str, query: int, label: str) -> float:
        """Return what a query of a panel is worth in all where a label has this value."""
        values = self.panel(title, query)
        return sum(value for key, value in values.items() if label in key)

    def rises(self, title: str, query: int, label: str, before: float) -> bool:
        """Tell whether a query of a panel that counts is worth at least one more than before."""
        return self.worth(title, query, label) > before + 0.5

    def shows(
        self,
        title: str,
        *labels: str,
        query: int = 0,
        above: float = 0.0,
        window: str = WINDOW,
    ) -> bool:
        """Tell whether a panel shows more than ``above`` where the labels have these values."""
        values = self.panel(title, query, window)
        return any(value > above for key, value in values.items() if set(labels) <= set(key))

    def fires(self, *alerts: str) -> bool:
        """Tell whether all of these alerts have fired."""
        self.fired |= self.prometheus.firing()
        return set(alerts) <= self.fired


@contextmanager
def asking(loads: list[Callable[[], int]]) -> Iterator[None]:
    """Have each of ``loads`` asked again and again until the block ends, with pauses."""
    over = threading.Event()

    def ask_on(load: Callable[[], int]) -> None:
        while not over.wait(random.expovariate(20)):
            with suppress(OSError, HTTPException):
                load()

    threads = [threading.Thread(target=ask_on, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def post(body: object) -> bytes:
    """Return a request for images by the holder of a key, as it is sent."""
    data = json.dumps(body).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    head = f"POST /v1/images HTTP/1.1\r\nHost: cars\r\nX-API-Key: alice\r\n{fields}\r\n"
    return head.encode() + data
