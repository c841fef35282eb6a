"""Callers of one server that ask for many images, in a closed loop or at a fixed pace.

The callers share the processors with the server, so they do little: an answer is counted when it is
complete, and its images are not checked.
"""

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtests.serving import Server

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
LAST = re.compile(rb"(?i)\r\nconnection: close\r\n")


@dataclass
class Phase:
    """The answers in one phase of a run."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    """The seconds that each request with status 200 took."""
    refused_s: list[float] = field(default_factory=list)
    """The seconds that each other request took."""
    delivered: int = 0
    """The number of images that arrived before the phase was over."""

    @property
    def images_per_s(self) -> float:
        return self.delivered / self.seconds


class AnswerReader(asyncio.Protocol):
    """A connection that is kept alive, with at most one request on its way; it finds answers' ends.

    A subclass says what follows from an answer that is complete, and from a connection that failed.
    """

    def __init__(self) -> None:
        self.head = b""
        """The head of the answer, with the empty line behind it, once it has arrived."""
        self.keeps = False
        """Whether the bytes of the next answer are kept."""
        self._kept = b""
        self._missing = -1
        """The bytes of the body that have yet to arrive; negative until the head has arrived."""
        self.transport: asyncio.Transport

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.head[9:12])

    @property
    def body(self) -> bytes:
        """The body of an answer that was kept."""
        return self._kept[len(self.head) :]

    def send(self, request: bytes) -> None:
        """Send ``request``, whose answer is read next."""
        self.head, self._kept, self._missing = b"", b"", -1
        self.transport.write(request)

    def answered(self) -> None:
        """Do what follows from an answer that is complete."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Do what follows from a connection that ended, or from an answer without a length."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.keeps:
            self._kept += data
        if self._missing >= 0:
            self._missing -= len(data)
        else:
            self.head += data
            end = self.head.find(HEAD_END)
            if end < 0:
                return
            body = len(self.head) - end - len(HEAD_END)
            self.head = self.head[: end + len(HEAD_END)]
            length = LENGTH.search(self.head)
            if length is None:
                self.failed(ValueError(f"an answer of no length: {self.head!r}"))
                return
            self._missing = int(length[1]) - body
        if self._missing == 0:
            if LAST.search(self.head):
                self.transport.close()
            self.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed(exc or ConnectionError("the server closed a connection"))


class Connection(AnswerReader):
    """A connection whose answers are awaited one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[int] = self._loop.create_future()

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """Send ``request``; return a future of the answer's status, set when it is complete.

        Raises, when the future is awaited:
            ConnectionError: the connection ended before the answer was complete.
            ValueError: the answer has no Content-Length.
        """
        self._answer = self._loop.create_future()
        self.send(request)
        return self._answer

    def answered(self) -> None:
        self._answer.set_result(self.status)

    def failed(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)


class Callers:
    """Ask ``server`` for ``images`` a request, as npy, over connections that are kept alive."""

    def __init__(self, server: Server, images: int) -> None:
        self.images = images
        self._place = urlsplit(server.url)
        self.connections: list[Connection] = []
        self._idle: list[Connection] = []

    async def closed_loop(self, seconds: float, callers: int) -> Phase:
        """Ask with ``callers`` at once, each of which asks again as soon as it is answered."""
        phase = Phase(seconds)
        ends = time.monotonic() + seconds

        async def caller(seed: int) -> None:
            while time.monotonic() < ends:
                await (await self._ask(seed, 60.0, phase, ends))
                seed += self.images

        await asyncio.gather(*(caller(number << 40) for number in range(callers)))
        return phase

    async def open_loop(self, seconds: float, pace: float, deadline_s: float, first: int) -> Phase:
        """Ask ``pace`` times a second for ``seconds``, whether answers come or not.

        The images are those of the seed ``first`` and the seeds that follow it.
        """
        phase = Phase(seconds)
        began = time.monotonic()
        asked = []
        for number in range(int(seconds * pace)):
            await asyncio.sleep(began + number / pace - time.monotonic())
            seed = first + number * self.images
            asked.append(await self._ask(seed, deadline_s, phase, began + seconds))
        await asyncio.gather(*asked)
        return phase

    def close(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            connection.transport.close()

    async def _ask(
        self, seed: int, deadline_s: float, phase: Phase, ends: float
    ) -> "asyncio.Future[int]":
        """Ask for images from ``seed`` on, and note the answer in ``phase``."""
        connection = await self._connection()
        began = time.monotonic()

        def note(answer: "asyncio.Future[int]") -> None:
            if answer.cancelled() or answer.exception():
                return  # the task that awaits the answer gets the error
            now = time.monotonic()
            phase.statuses[answer.result()] += 1
            if answer.result() == 200:
                phase.accepted_s.append(now - began)
                phase.delivered += self.images if now <= ends else 0
            else:
                phase.refused_s.append(now - began)
            self._idle.append(connection)

        answer = connection.ask(self._request(seed, deadline_s))
        answer.add_done_callback(note)
        return answer

    def _request(self, seed: int, deadline_s: float) -> bytes:
        body = json.dumps({"n": self.images, "seed": seed, "format": "npy"}).encode()
        head = (
            f"POST /v1/images HTTP/1.1\r\nHost: {self._place.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Timeout-Ms: {deadline_s * 1000:.0f}\r\n\r\n"
        )
        return head.encode() + body

    async def _connection(self) -> Connection:
        """Return an idle connection that neither side has closed, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        loop, host, port = asyncio.get_running_loop(), self._place.hostname, self._place.port
        _, connection = await loop.create_connection(Connection, host or "", port or 80)
        self.connections.append(connection)
        return connection
