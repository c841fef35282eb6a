"""Connections that cost a server something and give it nothing: idle, half-sent, unread, slow.

One thread holds them all. What the server ends is opened again, so that as many stay as were asked
for, as far as the server takes them.
"""

import errno
import json
import random
import select
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

IMAGES = 4096
OPENED_PER_S = 400
"""How many connections are opened a second, so that the server can take them."""
REOPENED_PER_S = 100
"""How many of those that the server has ended are opened again a second: this is no flood."""
TICK_S = 0.05
SLOW_BYTES = 1024
"""The bytes that a slow reader takes each second."""
RECEIVE_BUFFER = 16 * 1024
"""The bytes that the kernel keeps for a connection on this side: the rest stays at the server."""
ASKED_AGAIN_S = 0.5
"""The seconds after which a reader that was refused asks again, on the same connection."""

IDLE, HALF_SENT, UNREAD, SLOW = "idle", "half-sent", "unread", "slow"
KINDS = (IDLE, HALF_SENT, UNREAD, SLOW)
_BODY = json.dumps({"n": IMAGES, "format": "npy"}).encode()
_POST = b"POST /v1/images HTTP/1.1\r\nHost: carfront\r\nContent-Type: application/json\r\n"
_MANY = _POST + b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
SENT = {
    IDLE: b"GET /healthz HTTP/1.1\r\nHost: carfront\r\n\r\n",
    HALF_SENT: _POST + b"Content-Length: 2\r\n\r\n{",
    UNREAD: _MANY,
    SLOW: _MANY,
}
"""What each kind sends; an idle one has been answered once, and is kept."""
DONE = b"HTTP/1.1 200"


@dataclass
class _Connection:
    kind: str
    socket: socket.socket
    is_connected: bool = False
    is_held: bool = False
    """Whether the server has taken it: an answer has begun, or nothing is to be waited for."""


@dataclass
class Counts:
    """What became of the connections so far."""

    held: Counter[str] = field(default_factory=Counter)
    """How many of each kind the server holds now."""
    most_held: Counter[str] = field(default_factory=Counter)
    """The largest number of each kind that it held at a time."""
    ended: Counter[str] = field(default_factory=Counter)
    """How many of each kind the server has ended."""
    refused: Counter[str] = field(default_factory=Counter)
    """How many answers of readers were errors, such as 503."""


class Hostile(threading.Thread):
    """Holds ``wanted`` connections of each kind to the server at ``url``, until it is stopped."""

    def __init__(self, url: str, wanted: dict[str, int]) -> None:
        super().__init__(daemon=True)
        place = urlsplit(url)
        self._address = (place.hostname, place.port)
        self._wanted = wanted
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._to_open = sum(wanted.values())
        """How many are opened for the first time yet."""
        self._may_open = 0.0
        """How many connections may be opened by now; it grows by ``OPENED_PER_S`` a second, and by
        ``REOPENED_PER_S`` once all have been opened."""
        self._again: list[tuple[float, _Connection]] = []
        self._rng = random.Random(0)
        self._is_stopped = threading.Event()
        self.counts = Counts()
        self.opened_at: float | None = None if wanted else 0.0
        """When all had been opened once, by ``time.monotonic``; None until then."""

    def stop(self) -> None:
        """Close all connections, and wait until that is done."""
        self._is_stopped.set()
        self.join()

    def run(self) -> None:
        read_at = opened_at = time.monotonic()
        while not self._is_stopped.is_set():
            self._open()
            for number, events in self._epoll.poll(TICK_S):
                self._handle(self._connections[number], events)
            now = time.monotonic()
            per_s = OPENED_PER_S if self.opened_at is None else REOPENED_PER_S
            self._may_open = min(self._may_open, per_s * TICK_S) + per_s * (now - opened_at)
            opened_at = now
            self._ask_again(now)
            if now - read_at >= 1:
                read_at = now
                self._read_slowly()
        for connection in self._connections.values():
            connection.socket.close()
        self._epoll.close()

    def _open(self) -> None:
        """Open some of the connections that are missing."""
        there = Counter(connection.kind for connection in self._connections.values())
        missing = [x for x, number in self._wanted.items() for _ in range(number - there[x])]
        self._rng.shuffle(missing)  # all kinds grow at the same time
        for kind in missing[: int(self._may_open)]:
            new = socket.socket()
            new.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            new.setblocking(False)
            if new.connect_ex(self._address) not in (0, errno.EINPROGRESS):
                new.close()
                return
            self._may_open -= 1
            self._to_open -= 1
            if self._to_open == 0:
                self.opened_at = time.monotonic()
            self._connections[new.fileno()] = _Connection(kind, new)
            self._epoll.register(new, select.EPOLLOUT | select.EPOLLRDHUP)

    def _handle(self, connection: _Connection, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self._end(connection)
        elif events & select.EPOLLOUT:
            self._send(connection)
        elif not connection.is_held or connection.kind in (IDLE, HALF_SENT):
            self._receive(connection)
        elif events & select.EPOLLRDHUP and connection.kind == UNREAD:
            self._end(connection)

    def _send(self, connection: _Connection) -> None:
        try:
            connection.socket.send(SENT[connection.kind])
        except OSError:
            self._end(connection)
            return
        connection.is_connected = True
        if connection.kind == HALF_SENT:
            self._hold(connection)
        self._epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLRDHUP)

    def _receive(self, connection: _Connection) -> None:
        """Read the beginning of an answer, or the end of the connection."""
        try:
            data = connection.socket.recv(SLOW_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection)
        elif data.startswith(DONE):
            self._hold(connection)
            if connection.kind in (UNREAD, SLOW):  # nothing more is read, or not now
                self._epoll.modify(connection.socket, select.EPOLLRDHUP)
        elif data.startswith(b"HTTP/1.1 ") and connection.kind in (UNREAD, SLOW):
            self.counts.refused[connection.kind] += 1
            self._again.append((time.monotonic() + ASKED_AGAIN_S, connection))

    def _hold(self, connection: _Connection) -> None:
        if not connection.is_held:
            connection.is_held = True
            self.counts.held[connection.kind] += 1
            most, now = self.counts.most_held, self.counts.held
            most[connection.kind] = max(most[connection.kind], now[connection.kind])

    def _ask_again(self, now: float) -> None:
        due = [connection for at, connection in self._again if at <= now]
        self._again = [(at, connection) for at, connection in self._again if at > now]
        for connection in due:
            if connection.socket.fileno() >= 0:
                self._send(connection)

    def _read_slowly(self) -> None:
        for connection in list(self._connections.values()):
            if connection.kind == SLOW and connection.is_held:
                try:
                    if not connection.socket.recv(SLOW_BYTES):
                        self._end(connection)
                except BlockingIOError:
                    pass
                except OSError:
                    self._end(connection)

    def _end(self, connection: _Connection) -> None:
        """Forget a connection that the server has ended, or never took."""
        number = connection.socket.fileno()
        self._connections.pop(number, None)
        with suppress(OSError):
            self._epoll.unregister(connection.socket)
        connection.socket.close()
        self.counts.held[connection.kind] -= connection.is_held
        self.counts.ended[connection.kind] += connection.is_connected
