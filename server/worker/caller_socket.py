"""A caller's socket, on which every wait for the caller has a reason and can be ended."""

import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import Any

import gevent

from server.errors import ProtocolError
from server.worker.connections import END, ENDING, NOTHING, READER, REQUEST, REST, Connections

PIECE = 16 * 1024
"""The most bytes that are read at a time."""
MOST_UNHEARD = 2**20
"""The most bytes that are read of a caller that is told why its request is refused."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CUT_OFF = struct.pack("ii", 1, 0)
"""SO_LINGER of a connection whose unsent bytes are dropped when it is closed."""


class Overdue(Exception):
    """The caller took too long, or its connection ends for another."""


class CallerSocket:
    """The socket of one of ``connections``; the greenlet that makes this object is to use it."""

    def __init__(self, sock: Any, connections: Connections) -> None:
        self.waits_for = NOTHING
        self.since = monotonic()
        self.unsent = 0
        self.is_last = False
        """Whether the connection ends after the request that is read."""
        self._socket = sock
        self._connections = connections
        self._greenlet = gevent.getcurrent()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()  # type: ignore[no-any-return]

    def end(self) -> None:
        """Have the connection end soon, unless it does not wait any more by then."""
        self.waits_for = ENDING
        gevent.get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        if self.waits_for == ENDING:
            self._greenlet.throw(Overdue)

    def receive(self, has_begun: bool) -> bytes:
        """Return what the caller sends next, nothing if it sends no more.

        ``has_begun`` tells whether a part of the request is here.

        Raises:
            ProtocolError: the rest of the request does not come (408).
            OSError: the caller is gone.
        """
        self.waits_for = REST if has_begun else REQUEST
        if not has_begun:
            self.since = monotonic()
        try:
            piece: bytes = self._socket.recv(PIECE)
        except Overdue:
            if has_begun:
                raise ProtocolError(408, "the request took too long to arrive") from None
            self.is_last = True
            return self._receive_at_once()
        finally:
            self.waits_for = NOTHING
        if not has_begun:
            self.since = monotonic()
        return piece

    def _receive_at_once(self) -> bytes:
        """Return what the caller has sent: it counts though the connection ends."""
        self._socket.setblocking(False)
        try:
            return self._socket.recv(PIECE)  # type: ignore[no-any-return]
        except BlockingIOError:
            return b""
        finally:
            self._socket.setblocking(True)

    def say_continue(self) -> None:
        """Tell the caller to send the body of its request, or just that it is heard."""
        with suppress(OSError):  # it reads nothing, or is gone
            self._socket.send(CONTINUE, socket.MSG_DONTWAIT)

    def send(self, head: bytes, body: bytes) -> None:
        """Send head and body together: a head alone would wake the caller for itself.

        Raises:
            Overdue: the caller reads nothing for too long, or others could not be served.
            OSError: the caller is gone.
        """
        try:
            sent: int = self._socket.sendmsg((head, body), (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(head) + len(body):
            self._send_slowly(head[sent:])
            self._send_slowly(memoryview(body)[max(0, sent - len(head)) :])

    def _send_slowly(self, rest: bytes | memoryview) -> None:
        self.since, self.waits_for = monotonic(), READER
        try:
            while rest:
                self._connections.hold(self, len(rest))
                rest = rest[self._socket.send(rest) :]
                self.since = monotonic()
        finally:
            self.waits_for = NOTHING
            self._connections.hold(self, 0)

    def see_off(self) -> None:
        """Let the caller read the last answer: unread bytes would cut that off at the close."""
        self._socket.shutdown(socket.SHUT_WR)
        self.since, self.waits_for = monotonic(), END
        left = MOST_UNHEARD
        with suppress(Overdue):
            while left > 0 and (piece := self._socket.recv(PIECE)):
                left -= len(piece)

    def cut_off(self) -> None:
        """Have the system drop what was not sent, when the socket is closed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
