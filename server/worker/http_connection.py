"""One caller's connection: requests are read whole, then answered by the WSGI application.

A body is small, and is read before the application is called: no request is half read when it is
answered. Head and body of an answer leave together. What is no request of HTTP is answered by the
application too, which renders that error as any other.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, Protocol

from server.errors import ERROR, ProtocolError, ServingError
from server.worker.answer_head import Field, answer_head, whole
from server.worker.caller_socket import CallerSocket, Overdue
from server.worker.connections import Connections
from server.worker.peer import PEER
from server.worker.request_head import RequestLine, environ_of, keeps_connection
from server.worker.request_reader import RequestReader

log = logging.getLogger(__name__)

FAILED = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNREAD = RequestLine("GET", "-", "", "", None, "HTTP/1.1")
"""What stands for the first line of a request that has none."""


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
        self._server = server
        self._socket = CallerSocket(sock, server.connections)
        self._reader = RequestReader(self._socket.receive, self._socket.say_continue)
        self._keeps = True
        """Whether the connection is kept once the request is answered."""
        self._has_probed = False
        """Whether the caller of this request was sent something to see whether it is there."""
        self._version = self._status = ""
        """The HTTP version of the request, and the status of its answer."""
        self._fields: Sequence[Field] = ()
        """The header fields of the answer that the application gave."""
        self._sent = 0
        """The bytes of the answer's body."""
        self._environ = {**server.environ, PEER: self}
        """What the WSGI environment of every request begins with."""
        if isinstance(address, tuple):  # not at a Unix socket
            self._environ["REMOTE_ADDR"], self._environ["REMOTE_PORT"] = map(str, address[:2])
        self.fileno = self._socket.fileno

    def serve(self) -> None:
        """Answer requests until the connection ends."""
        self._server.connections.add(self._socket)
        try:
            while self._keeps:
                if not self._answer_next():
                    return
            self._socket.see_off()
        except Overdue:
            self._socket.cut_off()
        except OSError:  # the caller was first
            pass
        finally:
            self._server.connections.remove(self._socket)

    def is_gone(self) -> bool:
        """Return whether a caller that sends no more has hung up altogether, as far as is known.

        It may only have ended its side, and wait for its answer. So it is sent what a caller need
        not heed, once; where nobody is there any more, the system resets the connection.
        """
        if self._version == "HTTP/1.1" and not self._has_probed:  # HTTP/1.0 knows no such thing
            self._has_probed = True
            self._socket.say_continue()
        return False

    # the request

    def _answer_next(self) -> bool:
        """Answer the next request; return False if there is none."""
        self._socket.since = monotonic()
        error, body = None, b""
        try:
            found = self._reader.read()
            if found is None:
                return False
            body = found
        except ProtocolError as refused:
            error = refused
        line = self._reader.line or UNREAD._replace(path=self._reader.path)
        fields = self._reader.fields if self._reader.line else {}
        environ = environ_of(self._environ, line, fields, body)
        self._version, self._has_probed = line.version, False
        self._keeps = not self._socket.is_last and keeps_connection(line, fields)
        if error:
            self._keeps = False
            environ[ERROR] = error
        log_access = self._server.log_access
        began = monotonic() if log_access else 0.0
        self._answer(environ)
        if log_access:
            log_access(environ, self._status, self._sent, monotonic() - began)
        return True

    # the answer

    def _answer(self, environ: dict[str, Any]) -> None:
        """Have the application answer a request, and send what it answers."""
        try:
            result = self._server.application(environ, self._start_response)
            try:
                body = whole(result)
                if self._server.lets_go():
                    self._keeps = False
                head, self._keeps = answer_head(
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
                self._socket.send(FAILED, b"")
            else:
                environ[ERROR] = ServingError("the server failed; its log says why")
                self._answer(environ)
            return
        self._sent = len(body)
        self._socket.send(head, b"" if environ["REQUEST_METHOD"] == "HEAD" else body)

    def _start_response(
        self, status: str, fields: Sequence[Field], *_: Any
    ) -> Callable[[bytes], None]:
        """Take the head of an answer, as PEP 3333 has it; nothing is sent before its body is."""
        self._status, self._fields = status, fields
        return _write


def _write(_: bytes) -> None:
    """Stand for PEP 3333's older way to send a body, which no application here takes."""
    raise NotImplementedError
