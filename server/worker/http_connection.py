"""One caller's connection: requests are read whole, then answered by the WSGI application.

A body is small, and is read before the application is called: no request is half read when it is
answered. Head and body of an answer leave together. What is no request of HTTP is answered by the
application too, which renders that error as any other.
"""

import logging
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import gevent

from server.errors import ERROR, ProtocolError, ServingError
from server.worker.answer_head import Field, answer_head, closes, whole
from server.worker.connections import END, ENDING, NOTHING, READER, REQUEST, REST, Connections
from server.worker.request_head import RequestLine, environ_of, keeps_connection
from server.worker.request_reader import RequestReader

log = logging.getLogger(__name__)

PIECE = 16 * 1024
"""The most bytes that are read at a time."""
MOST_UNHEARD = 2**20
"""The most bytes that are read of a caller that is told why its request is refused."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNREAD = RequestLine("GET", "-", "", "", None, "HTTP/1.1")
"""What stands for the first line of a request that has none."""
CUT_OFF = struct.pack("ii", 1, 0)
"""SO_LINGER of a connection whose unsent bytes are dropped when it is closed."""


class Overdue(Exception):
    """The caller took too long, or its connection ends for another."""


class HttpServer(Protocol):
    """The HTTP worker's server, as its connections see it."""

    application: Callable[..., Iterable[bytes]]
    environ: dict[str, Any]
    """What every request's WSGI environment begins with."""
    connections: Connections
    log_access: Callable[[dict[str, Any], str, int, float], None] | None
    """Logs a request, its answer's status and bytes, and its seconds; None where nobody wants to
    know."""

    def lets_go(self) -> bool:
        """Return whether the connection of the answer that is about to be sent should end."""


class Connection:
    """One caller's connection, for as long as it is kept."""

    def __init__(self, sock: Any, address: Any, server: HttpServer) -> None:
        self.waits_for = NOTHING
        self.since = monotonic()
        self.unsent = 0
        self._socket = sock
        self._server = server
        self._greenlet = gevent.getcurrent()
        self._reader = RequestReader(self._receive, self._say_continue)
        self._keeps = True
        """Whether the connection is kept once the request is answered."""
        self._is_last = False
        """Whether the connection ends after this request, whatever the request wants."""
        self._version = self._status = ""
        """The HTTP version of the request, and the status of its answer."""
        self._fields: Sequence[Field] = ()
        """The header fields of the answer that the application gave."""
        self._sent = 0
        """The bytes of the answer's body."""
        self._environ = {**server.environ, "gunicorn.sock": sock}
        """What the WSGI environment of every request begins with."""
        if isinstance(address, tuple):  # not at a Unix socket
            self._environ["REMOTE_ADDR"], self._environ["REMOTE_PORT"] = map(str, address[:2])

    def serve(self) -> None:
        """Answer requests until the connection ends."""
        self._server.connections.add(self)
        try:
            while self._keeps:
                if not self._answer_next():
                    return
            self._see_off()
        except Overdue:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
        except OSError:  # the caller was first
            pass
        finally:
            self._server.connections.remove(self)

    def end(self) -> None:
        """Have the connection end soon, unless it does not wait any more by then."""
        self.waits_for = ENDING
        gevent.get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        if self.waits_for == ENDING:
            self._greenlet.throw(Overdue)

    # the request

    def _answer_next(self) -> bool:
        """Answer the next request; return False if there is none."""
        error, body = None, b""
        try:
            found = self._reader.read()
            if found is None:
                return False
            body = found
        except ProtocolError as refused:
            error = refused
        line = self._reader.line or UNREAD
        fields = {} if line is UNREAD else self._reader.fields
        environ = {**self._environ, **environ_of(line, fields, body)}
        self._version = line.version
        self._keeps = not self._is_last and keeps_connection(line, fields)
        if error:
            self._keeps = False
            environ[ERROR] = error
        log_access = self._server.log_access
        began = monotonic() if log_access else 0.0
        self._answer(environ)
        if log_access:
            log_access(environ, self._status, self._sent, monotonic() - began)
        return True

    def _receive(self, has_begun: bool) -> bytes:
        """Return what the caller sends next, nothing if it sends no more.

        Raises:
            ProtocolError: the rest of the request does not come (408).
        """
        self.waits_for = REST if has_begun else REQUEST
        if not has_begun:
            self.since = monotonic()
        try:
            piece: bytes = self._socket.recv(PIECE)
        except Overdue:
            if has_begun:
                raise ProtocolError(408, "the request took too long to arrive") from None
            self._is_last = True
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

    def _say_continue(self) -> None:
        with suppress(BlockingIOError):  # it does not read; nor would it read this
            self._socket.send(CONTINUE, socket.MSG_DONTWAIT)

    # the answer

    def _answer(self, environ: dict[str, Any]) -> None:
        """Have the application answer a request, and send what it answers."""
        try:
            result = self._server.application(environ, self._start_response)
            try:
                body = whole(result)
                if closes(self._fields) or self._server.lets_go():
                    self._keeps = False
                head = answer_head(
                    self._status, self._fields, len(body), environ["REQUEST_METHOD"],
                    self._version, self._keeps,
                )  # fmt: skip
            finally:
                if close := getattr(result, "close", None):
                    close()
        except Exception:
            self._keeps = False
            log.exception("a request could not be answered")
            if environ.get(ERROR):
                self._send(FAILED, b"")
            else:
                environ[ERROR] = ServingError("the server failed; its log says why")
                self._answer(environ)
            return
        self._send(head, b"" if environ["REQUEST_METHOD"] == "HEAD" else body)

    def _start_response(
        self, status: str, fields: Sequence[Field], *_: Any
    ) -> Callable[[bytes], None]:
        """Take the head of an answer, as PEP 3333 has it; nothing is sent before its body is."""
        self._status, self._fields = status, fields
        return _write

    def _send(self, head: bytes, body: bytes) -> None:
        """Send head and body together: a head alone would wake the caller for itself."""
        try:
            sent: int = self._socket.sendmsg((head, body), (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._sent = len(body)
        if sent < len(head) + len(body):
            behind = memoryview(body)[max(0, sent - len(head)) :]
            self._send_slowly(head[sent:])
            self._send_slowly(behind)

    def _send_slowly(self, rest: bytes | memoryview) -> None:
        """Send ``rest`` as the caller reads it.

        Raises:
            Overdue: the caller reads nothing for too long, or others could not be served.
        """
        hold = self._server.connections.hold
        self.since, self.waits_for = monotonic(), READER
        try:
            while rest:
                hold(self, len(rest))
                sent = self._socket.send(rest)
                rest = rest[sent:]
                self.since = monotonic()
        finally:
            self.waits_for = NOTHING
            hold(self, 0)

    def _see_off(self) -> None:
        """Let the caller read the last answer: unread bytes would cut that off at the close."""
        self._socket.shutdown(socket.SHUT_WR)
        self.since, self.waits_for = monotonic(), END
        left = MOST_UNHEARD
        while left > 0 and (piece := self._socket.recv(PIECE)):
            left -= len(piece)


def _write(_: bytes) -> None:
    """Stand for PEP 3333's older way to send a body, which no application here takes."""
    raise NotImplementedError
