"""One connection of the fuzzer, over a raw socket."""

import selectors
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

from loadtests.fuzz.response import Response, read

ANSWER_S = 60.0
"""The seconds within which an answer, or the end of a connection, has to come."""


class Stuck(Exception):
    """Neither bytes nor the end of the connection came in time."""


class Caller:
    """One connection, read and written at the same time: neither side may wait for the other."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=ANSWER_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = b""
        self.has_ended = False
        self.ends_writing = False
        """Whether the server was told that nothing more will be sent."""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send ``data``; what arrives meanwhile goes to the buffer.

        Raises:
            Stuck: the server does not read.
        """
        deadline = time.monotonic() + ANSWER_S
        while data and not self.has_ended:
            self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE, deadline)
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:  # the server has closed; what it said before that can be read still
                break
            self._receive()

    def end_writing(self) -> None:
        """Tell the server that nothing more will be sent."""
        self.ends_writing = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def answer(self, method: bytes, within_s: float) -> Response | None:
        """Return the next answer, or None where the server closes without one.

        Raises:
            Malformed: what arrives is no answer.
            Stuck: no answer is complete in time.
        """
        deadline = time.monotonic() + within_s
        while (found := read(self.buffer, method, self.has_ended)) is None:
            if self.has_ended:
                return None
            self._wait(selectors.EVENT_READ, deadline)
            self._receive()
        response, self.buffer = found
        return response

    def end(self) -> bytes:
        """Wait for the end of the connection; return the bytes that came before it.

        Raises:
            Stuck: the server does not close in time.
        """
        deadline = time.monotonic() + ANSWER_S
        while not self.has_ended and not self.buffer:
            self._wait(selectors.EVENT_READ, deadline)
            self._receive()
        return self.buffer

    def _receive(self) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.buffer += data
        self.has_ended = not data

    def _wait(self, events: int, deadline: float) -> None:
        with selectors.PollSelector() as selector:
            selector.register(self.socket, events)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise Stuck
