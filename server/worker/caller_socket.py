"""A caller's socket, on which every wait for the caller has a reason and can be ended."""

import socket
import struct
import sys
from contextlib import suppress
from time import monotonic, time
from typing import Any

import gevent

from server.errors import ProtocolError
from server.worker.connections import END, ENDING, NOTHING, READER, REQUEST, REST, Connections

PIECE = 16 * 1024
"""The most bytes that are read at a time."""
MOST_UNHEARD = 2**25
"""The most bytes that are read of a caller that is told why its request is refused."""
LEAST_READ = 2**14
"""The bytes of an answer, or all that is left of it, that a caller takes in the time it has: then
it has as long again. Whoever takes a byte now and then would else hold the connection for ever."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CUT_OFF = struct.pack("ii", 1, 0)
"""SO_LINGER of a connection whose unsent bytes are dropped when it is closed."""

SO_TIMESTAMPNS = 35
"""Linux's option by which every piece that is read comes with the time of its arrival, the wait in
the backlog of connections included. Python has no name for it. Source: socket(7)."""
ARRIVED = struct.Struct("@ll")
"""The time of an arrival: seconds since 1970, and nanoseconds."""
ARRIVED_SPACE = socket.CMSG_SPACE(ARRIVED.size)
MOST_WAITED_S = 60.0
"""Who waits for longer is answered by nobody: then the clock was set meanwhile."""


def have_arrivals_told(listener: Any) -> None:
    """Have the system note when each byte of connections to ``listener`` arrives, if it can."""
    if sys.platform == "linux":
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


class Overdue(Exception):
    """The caller took too long, or its connection ends for another."""


class CallerSocket:
    """The socket of one of ``connections``; the greenlet that makes this object is to use it."""

    def __init__(self, sock: Any, connections: Connections) -> None:
        self.waits_for = NOTHING
        self.since = monotonic()
        self.unsent = self.heard = 0
        self.ahead = 0
        """The bytes that are in memory to be sent after those that are sent now."""
        self.is_last = False
        """Whether the connection ends after the request that is read."""
        self._arrived = b""
        """When what was read last arrived, an ``ARRIVED``; empty where the system does not say."""
        self._refusal: ProtocolError | None = None
        """What a caller is told whose request has begun, and whose connection ends."""
        self._socket = sock
        self._connections = connections
        self._greenlet = gevent.getcurrent()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()  # type: ignore[no-any-return]

    def end(self, refusal: ProtocolError | None = None) -> None:
        """Have the connection end soon, unless it does not wait any more by then.

        A caller whose request has begun is told ``refusal``, or that it took too long.
        """
        self.waits_for, self._refusal = ENDING, refusal
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
        try:
            piece: bytes
            piece, told, _, _ = self._socket.recvmsg(PIECE, ARRIVED_SPACE)
            self._arrived = told[0][2] if told else b""
        except Overdue:
            self._arrived = b""  # what is not here did not wait for us
            if has_begun:
                too_long = ProtocolError(408, "the request took too long to arrive")
                raise self._refusal or too_long from None
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

    def waited_s(self) -> float:
        """Return for how many seconds all that was read has been there: 0 where nobody knows."""
        if len(self._arrived) != ARRIVED.size:
            return 0.0
        seconds, nanoseconds = ARRIVED.unpack(self._arrived)
        waited_s = time() - seconds - nanoseconds * 1e-9
        return waited_s if 0.0 < waited_s < MOST_WAITED_S else 0.0

    def hear(self, heard: int) -> None:
        """Note how many bytes of a large body are here, 0 once it is answered.

        Raises:
            BodiesFull: there are too many of all such bodies, and this one comes most slowly.
        """
        self._connections.hear(self, heard)

    def say_continue(self) -> None:
        """Tell the caller to send the body of its request, or just that it is heard."""
        with suppress(OSError):  # it reads nothing, or is gone
            self._socket.send(CONTINUE, socket.MSG_DONTWAIT)

    def send(self, head: bytes, body: bytes) -> None:
        """Send head and body together: a head alone would wake the caller for itself.

        Raises:
            Overdue: the caller reads nothing, or little, for too long, or others could not be
                served.
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
        taken = 0
        try:
            while rest:
                self._connections.hold(self, len(rest) + self.ahead)
                sent = self._socket.send(rest)
                rest, taken = rest[sent:], taken + sent
                if taken >= LEAST_READ:
                    self.since, taken = monotonic(), 0
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
