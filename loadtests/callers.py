"""Callers of one server that ask for many images: each again when it was answered, or at a pace.

They share the processors with the server, so they do little: an answer is counted when it is whole,
its images are not looked at.
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
    """What came of one part of a run."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    """How long the requests took that got their images."""
    refused_s: list[float] = field(default_factory=list)
    """How long the others took."""
    delivered: int = 0
    """Images that arrived before the phase was over."""

    @property
    def images_per_s(self) -> float:
        return self.delivered / self.seconds


class Connection(asyncio.Protocol):
    """A connection that is kept, with one request on its way at most."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[int] = self._loop.create_future()
        self._head = b""
        self._missing = -1
        """Bytes of the body that are not here yet; negative until the head is."""
        self.transport: asyncio.Transport

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """Send ``request``; returns what will be the status, once the answer is here as a whole.

        Raises, when it is awaited:
            ConnectionError: the connection ended before.
            ValueError: the answer does not say how long it is.
        """
        self._answer = self._loop.create_future()
        self._head, self._missing = b"", -1
        self.transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._missing >= 0:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(HEAD_END)
            if end < 0:
                return
            body = len(self._head) - end - len(HEAD_END)
            self._head = self._head[: end + len(HEAD_END)]
            length = LENGTH.search(self._head)
            if length is None:
                self._answer.set_exception(ValueError(f"an answer of no length: {self._head!r}"))
                return
            self._missing = int(length[1]) - body
        if self._missing == 0:
            if LAST.search(self._head):
                self.transport.close()
            self._answer.set_result(int(self._head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed a connection"))


class Callers:
    """Ask ``server`` for ``images`` a request, as npy, over connections that are kept."""

    def __init__(self, server: Server, images: int) -> None:
        self.images = images
        self._place = urlsplit(server.url)
        self.connections: list[Connection] = []
        self._idle: list[Connection] = []

    async def closed_loop(self, seconds: float, callers: int) -> Phase:
        """Ask with so many at once, each again as soon as it has its images."""
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

        The images are ``first`` and those that follow.
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
        """Ask for images from ``seed`` on; what comes is noted in ``phase``."""
        connection = await self._connection()
        began = time.monotonic()

        def note(answer: "asyncio.Future[int]") -> None:
            if answer.cancelled() or answer.exception():
                return  # who waits for it has it
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
        """Return one that is free and that neither side has closed, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        loop, host, port = asyncio.get_running_loop(), self._place.hostname, self._place.port
        _, connection = await loop.create_connection(Connection, host or "", port or 80)
        self.connections.append(connection)
        return connection
