"""Ten times as many requests as a server can answer: how many does it still answer in time?

The peak is what a few callers get that ask without pause. Then requests come at a fixed pace,
whatever becomes of them. An answer counts when it came within a second of its request, or, where a
request takes longer than a quarter of that at the peak, within four times as long. A caller that is
not answered in time hangs up. What comes while all connections are taken is lost.
"""

import asyncio
import time
from urllib.parse import urlsplit

from loadtests.callers import Connection
from loadtests.peers.requests import Requests
from loadtests.readings import MeasureError

OVERLOAD = "overload"
TIMES = 10
CALLERS = 6
IMAGES = 64
IN_TIME_S = 1.0
PATIENCE_S = 60.0
"""The seconds that callers wait for an answer while the peak is measured."""
MOST_CONNECTIONS = 1024
DEADLINE = "X-Request-Timeout-Ms"
"""The field that tells our server how long its caller waits; others have none, and ignore it."""


def overload(url: str, seconds: int, requests: Requests) -> dict[str, float]:
    """Return the share of the peak that a server delivers in time under ten times the peak.

    Raises:
        MeasureError: it delivered nothing at its peak.
    """
    return {OVERLOAD: asyncio.run(_share(url, seconds, requests))}


async def _share(url: str, seconds: int, requests: Requests) -> float:
    caller = _Caller(url, requests)
    try:
        peak = await caller.closed_loop(seconds)
        if not peak:
            raise MeasureError("no request was answered at the peak")
        in_time_s = max(IN_TIME_S, 4 * CALLERS / peak)
        return await caller.open_loop(seconds, TIMES * peak, in_time_s) / peak
    finally:
        caller.close()


class _Caller:
    """Asks one server for 64 images a request; the rates are requests answered in time a second."""

    def __init__(self, url: str, requests: Requests) -> None:
        self._place = urlsplit(url)
        self._requests = requests
        self._seed = 0
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []

    async def closed_loop(self, seconds: float) -> float:
        """Return the rate of callers each of which asks again when it is answered."""
        ends = time.monotonic() + seconds

        async def caller() -> int:
            count = 0
            while time.monotonic() < ends:
                count += await self._is_answered(PATIENCE_S)
            return count

        return sum(await asyncio.gather(*(caller() for _ in range(CALLERS)))) / seconds

    async def open_loop(self, seconds: float, pace: float, in_time_s: float) -> float:
        """Return the rate at which requests are answered that come ``pace`` times a second."""
        began = time.monotonic()
        tasks: list[asyncio.Task[bool]] = []
        for number in range(int(seconds * pace)):
            await asyncio.sleep(began + number / pace - time.monotonic())
            if self._idle or len(self._open) < MOST_CONNECTIONS:
                tasks.append(asyncio.create_task(self._is_answered(in_time_s)))
        return sum(await asyncio.gather(*tasks)) / seconds

    async def _is_answered(self, in_time_s: float) -> bool:
        """Ask once; return whether the answer has the status 200, and came in time."""
        self._seed += IMAGES
        call = self._requests.of_seed(self._seed, IMAGES)
        request = call.raw(self._place.netloc, {DEADLINE: f"{in_time_s * 1000:.0f}"})
        connection = None
        try:
            async with asyncio.timeout(in_time_s):
                connection = await self._connection()
                status = await connection.ask(request)
        except (OSError, TimeoutError, ValueError):
            if connection is not None:
                self._end(connection)
            return False
        self._idle.append(connection)
        return status == 200

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
            self._end(connection)
        loop, host, port = asyncio.get_running_loop(), self._place.hostname, self._place.port
        _, connection = await loop.create_connection(Connection, host or "", port or 80)
        self._open.add(connection)
        return connection

    def _end(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.transport.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            self._end(connection)
