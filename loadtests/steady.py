"""Callers who ask for one image again and again, and probes, beside whatever else happens."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtests.callers import Connection
from loadtests.percentile import percentile

PAUSE_S = 0.02
"""The seconds between an answer and the same caller's next request."""
KEPT_FOR = 20
"""The number of requests for which a caller keeps its connection: new ones must get in too."""
ANSWER_S = 10.0
"""The seconds after which a caller gives up."""
PROBE_EVERY_S = 0.5
PROBE_S = 1.0
"""The seconds within which a probe has to be answered, as Kubernetes has it by default."""
PROBED = ("/healthz", "/readyz")


@dataclass
class Seen:
    """What callers and probes saw in one phase."""

    answered_s: list[tuple[float, float]] = field(default_factory=list)
    """When each answered request began, by ``time.monotonic``, and the seconds that it took,
    connecting included."""
    errors: Counter[str] = field(default_factory=Counter)
    probes: int = 0
    late_probes: Counter[str] = field(default_factory=Counter)
    """The probes that were not answered 200 in time, by path and why."""
    slowest_probe_s: float = 0.0

    def p99_ms(self, since: float = 0.0) -> float:
        """Return the 99th percentile of the latency in ms of the answered requests that began after
        ``since``, 0 without any."""
        return 1000 * percentile([took for began, took in self.answered_s if began >= since], 99)


class Steady:
    """Callers and probes of the server at ``url``."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url)
        self._ends = 0.0
        self.seen = Seen()

    async def run(self, callers: int, seconds: float, watch: Callable[[], bool]) -> Seen:
        """Ask for ``seconds``, or until ``watch``, called every half second, returns true."""
        self._ends = time.monotonic() + seconds
        asking = [self._caller(number << 40) for number in range(callers)]
        await asyncio.gather(self._probe(), self._watch(watch), *asking)
        return self.seen

    async def _watch(self, watch: Callable[[], bool]) -> None:
        while time.monotonic() < self._ends:
            if watch():
                self._ends = time.monotonic()
            await asyncio.sleep(PROBE_EVERY_S)

    async def _caller(self, seed: int) -> None:
        connection, asked = None, 0
        while time.monotonic() < self._ends:
            seed, began = seed + 1, time.monotonic()
            path = f"/v1/images/{seed}.png"
            if connection is None or connection.transport.is_closing() or asked >= KEPT_FOR:
                if connection:
                    connection.transport.close()
                connection, asked = None, 0
            asked += 1
            try:
                connection, status = await self._ask(connection, path, ANSWER_S)
            except (OSError, ValueError, TimeoutError) as error:
                self.seen.errors[type(error).__name__] += 1
                connection = None
                await asyncio.sleep(PAUSE_S)
                continue
            if status == 200:
                self.seen.answered_s.append((began, time.monotonic() - began))
            else:
                self.seen.errors[str(status)] += 1
            await asyncio.sleep(PAUSE_S)
        if connection:
            connection.transport.close()

    async def _ask(
        self, kept: Connection | None, path: str, within_s: float
    ) -> tuple[Connection, int]:
        """Return the connection and the status; a kept one that has ended is replaced once."""
        async with asyncio.timeout(within_s):
            if kept:
                try:
                    return kept, await kept.ask(self._request(path))
                except ConnectionError:  # the server ended it while it was idle
                    kept.transport.close()
            loop = asyncio.get_running_loop()
            host, port = self._place.hostname, self._place.port
            _, new = await loop.create_connection(Connection, host or "", port or 80)
            try:
                return new, await new.ask(self._request(path))
            except BaseException:
                new.transport.abort()
                raise

    def _request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: {self._place.netloc}\r\n\r\n".encode()

    async def _probe(self) -> None:
        while time.monotonic() < self._ends:
            for path in PROBED:
                began = time.monotonic()
                self.seen.probes += 1
                try:
                    connection, status = await self._ask(None, path, PROBE_S)
                    connection.transport.close()
                    if status != 200:
                        self.seen.late_probes[f"{path}: {status}"] += 1
                except (OSError, ValueError, TimeoutError) as error:
                    self.seen.late_probes[f"{path}: {type(error).__name__}"] += 1
                took = time.monotonic() - began
                self.seen.slowest_probe_s = max(self.seen.slowest_probe_s, took)
            await asyncio.sleep(PROBE_EVERY_S)
