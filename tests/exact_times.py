"""A load generator that takes each answer's time from the system, not from when it gets to look.

The system notes when a piece of an answer arrives. So a busy machine, on which this process waits
for its turn as servers do, does not make the times longer than the answers took.
"""

import select
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.servers import PATIENCE_S

SO_TIMESTAMPNS = 35
"""Linux's option for the times of arrival; Python has no name for it. Source: socket(7)."""
MOST_BYTES = 512 * 1024
"""More than the bytes of an answer."""
ARRIVED = struct.Struct("@ll")


class Caller:
    """One keep-alive connection, which asks anew as soon as it is answered."""

    def __init__(self, url: str, request: Callable[[], bytes]) -> None:
        place = urlsplit(url)
        self._address = place.hostname, place.port
        self.connect()
        self._request = request
        self._answer = bytearray()
        self._asked = 0.0

    def connect(self) -> None:
        """Connect, anew where the server has said that it closes the connection."""
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE_S)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        # An answer has to fit: its last piece would wait until this process reads the ones before.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_BYTES)
        self.sock.connect(self._address)
        self.is_closed = False

    def ask(self) -> None:
        """Send the next request."""
        self._answer.clear()
        self._asked = time.time()
        self.sock.sendall(self._request())

    def take(self) -> tuple[str, float] | None:
        """Take a piece of the answer; return its status and its seconds once it is whole."""
        piece, told, *_ = self.sock.recvmsg(65536, socket.CMSG_SPACE(ARRIVED.size))
        assert piece, "the server hung up"
        self._answer += piece
        head, found, body = self._answer.partition(b"\r\n\r\n")
        length = head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0]
        if not found or len(body) < int(length):
            return None
        self.is_closed = b"connection: close" in head.lower()
        seconds, nanoseconds = ARRIVED.unpack(told[0][2])
        return head[9:12].decode(), seconds + nanoseconds * 1e-9 - self._asked


def times_of(
    url: str, request: Callable[[], bytes], callers: int, answers: int
) -> dict[str, list[float]]:
    """Return the seconds of each answer, by status, of ``callers`` that ask without pause."""
    found: dict[str, list[float]] = defaultdict(list)
    poll = select.poll()
    everyone = [Caller(url, request) for _ in range(callers)]
    by_descriptor = {caller.sock.fileno(): caller for caller in everyone}
    for caller in everyone:
        poll.register(caller.sock, select.POLLIN)
        caller.ask()
    left, waiting = answers - callers, callers
    while waiting:
        for descriptor, _ in poll.poll():
            caller = by_descriptor[descriptor]
            if taken := caller.take():
                found[taken[0]].append(taken[1])
                waiting -= left <= 0
                if caller.is_closed:
                    poll.unregister(caller.sock)
                    caller.sock.close()
                    caller.connect()
                    poll.register(caller.sock, select.POLLIN)
                    by_descriptor[caller.sock.fileno()] = caller
                if left > 0:
                    caller.ask()
                left -= 1
    for caller in everyone:
        caller.sock.close()
    return found
