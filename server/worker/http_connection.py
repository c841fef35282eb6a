"""One caller's connection: requests are read whole, then answered by the WSGI application.

A body is read before the application is called: no request is half read when it is answered. Head
and body of an answer leave together; of one that is sent while it is made, that is the body's first
part. What is no request of HTTP is answered by the application too, which renders that error as any
other.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from server.errors import ERROR, ProtocolError, ServingError
from server.worker.answer_head import CHUNKS_SINCE, Field, answer_head, whole
from server.worker.caller_socket import CallerSocket, Overdue
from server.worker.connections import Connections
from server.worker.peer import PEER, WAITED
from server.worker.request_head import RequestLine, environ_of, keeps_connection
from server.worker.request_reader import RequestReader
from server.worker.streamed import Cut, Streamed

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
        self._reader = RequestReader(
            self._socket.receive,
            self._socket.say_continue,
            self._socket.hear,
            server.connections.limits.body_bytes,
        )
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
        except Cut:  # told in the log, and to the caller by the end
            pass
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
        environ[WAITED] = self._socket.waited_s()
        self._version, self._has_probed = line.version, False
        self._keeps = not self._socket.is_last and keeps_connection(line, fields)
        if error:
            self._keeps = False
            environ[ERROR] = error
        log_access = self._server.log_access
        began = monotonic() if log_access else 0.0
        self._answer(environ)
        if self._socket.heard:
            self._socket.hear(0)
        if log_access:
            log_access(environ, self._status, self._sent, monotonic() - began)
        return True

    # the answer

    def _answer(self, environ: dict[str, Any]) -> None:
        """Have the application answer a request, and send what it answers."""
        streamed: Streamed | None = None
        try:
            result = self._server.application(environ, self._start_response)
            if isinstance(result, Streamed):
                streamed = result
                head = self._head(environ, streamed.length)
            else:
                head, body = self._whole(environ, result)
        except Exception:
            self._keeps = False
            log.exception("a request could not be answered")
            if streamed:
                streamed.close()
            if environ.get(ERROR):
                self._socket.send(FAILED, b"")
            else:
                environ[ERROR] = ServingError("the server failed; its log says why")
                self._answer(environ)
            return
        if streamed:
            self._stream(head, streamed)
            return
        self._sent = len(body)
        self._socket.send(head, b"" if environ["REQUEST_METHOD"] == "HEAD" else body)

    def _whole(self, environ: dict[str, Any], result: Iterable[bytes]) -> tuple[bytes, bytes]:
        """Return the head and the body of an answer that is here as a whole."""
        try:
            body = whole(result)
            return self._head(environ, len(body)), body
        finally:
            if close := getattr(result, "close", None):
                close()

    def _head(self, environ: dict[str, Any], size: int | None) -> bytes:
        """Return the head of an answer whose body has ``size`` bytes, None if nobody knows."""
        if self._server.lets_go():
            self._keeps = False
        head, self._keeps = answer_head(
            self._status, self._fields, size, environ["REQUEST_METHOD"], self._version, self._keeps
        )
        return head

    def _stream(self, head: bytes, streamed: Streamed) -> None:
        """Send an answer while it is made: each part as soon as the caller has taken the last.

        Raises:
            Cut: the rest of the answer cannot be made.
        """
        self._has_probed = True  # nothing else may stand between the bytes of the body
        self._sent, self._socket.ahead = 0, streamed.ahead
        chunked = streamed.length is None and self._version == CHUNKS_SINCE
        try:
            for part in streamed:
                size, end = (b"%x\r\n" % len(part), b"\r\n") if chunked else (b"", b"")
                self._socket.send(head + size, part)
                self._sent += len(part)
                head = end
            self._socket.ahead = 0
            if chunked:
                self._socket.send(head + b"0\r\n\r\n", b"")
        except BaseException:
            with suppress(OSError):  # the caller was first
                self._socket.cut_off()
            raise
        finally:
            self._socket.ahead = 0
            streamed.close()

    def _start_response(
        self, status: str, fields: Sequence[Field], *_: Any
    ) -> Callable[[bytes], None]:
        """Take the head of an answer, as PEP 3333 has it; nothing is sent before its body is."""
        self._status, self._fields = status, fields
        return _write


def _write(_: bytes) -> None:
    """Stand for PEP 3333's older way to send a body, which no application here takes."""
    raise NotImplementedError
