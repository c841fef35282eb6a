"""One caller's connection: gevent's WSGI handler, with less work for each answer.

The fields of an answer's head are written together, and the head leaves with the body.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

from gevent.pywsgi import Input
from gunicorn.workers.ggevent import PyWSGIHandler

from server.worker.headers import CODING, LENGTH, read_fields

Field = tuple[str, str]
VERSIONS = ("HTTP/1.1", "HTTP/1.0")
"""The versions of HTTP that are spoken here."""


class HttpWorker(Protocol):
    """The HTTP worker, as its connections see it."""

    alive: bool
    """Whether the worker is to go on serving."""
    surplus: int
    """How many connections other workers should have instead."""
    waiting: "dict[Connection, float]"
    """Connections whose next request is not here yet, and since when."""
    logs_access: bool
    """Whether every request is logged."""


class Connection(PyWSGIHandler):  # type: ignore[misc]
    """One caller's connection, for as long as it is kept; ``worker`` tells whether to keep it."""

    def __init__(self, *args: Any, worker: HttpWorker) -> None:
        super().__init__(*args)
        self._worker = worker

    def end(self) -> None:
        """Read no more: the handler sees the end of the connection and closes it."""
        with suppress(OSError):  # the caller was first
            self.socket.shutdown(socket.SHUT_RD)

    def handle_one_request(self) -> Any:
        self._worker.waiting[self] = time.monotonic()
        try:
            return super().handle_one_request()
        finally:
            self._worker.waiting.pop(self, None)

    # the request

    def read_request(self, raw_requestline: str) -> bool:
        """Read the rest of a request's head.

        Raises:
            ValueError: the head is not one of an HTTP request.
        """
        self.requestline = raw_requestline.rstrip("\r\n")
        words = self.requestline.split(" ")
        if len(words) != 3 or words[2] not in VERSIONS:
            raise ValueError(f"no request: {raw_requestline[:80]!r}")
        self.command, self.path, self.request_version = words
        self.fields = fields = read_fields(self.rfile)
        length = fields.get(LENGTH)
        self.content_length = None if length is None else int(length)
        if self.content_length and self.command == "HEAD":
            raise ValueError(f"a body of {length} bytes for HEAD")
        wish = fields.get("HTTP_CONNECTION", "").lower()
        if self.request_version == "HTTP/1.1":
            self.close_connection = "close" in wish
        else:
            self.close_connection = "keep-alive" not in wish
        return True

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment of the request whose head is read."""
        self._worker.waiting.pop(self, None)  # the request is here, but for its body
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = self.server.get_environ()
        environ["REQUEST_METHOD"] = self.command
        environ["PATH_INFO"] = unquote(path, "latin-1") if "%" in path else path
        environ["QUERY_STRING"] = query
        environ["RAW_URI"] = self.path
        environ["SERVER_PROTOCOL"] = self.request_version
        if isinstance(self.client_address, tuple):  # not at a Unix socket
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = map(str, self.client_address[:2])
        environ["gunicorn.sock"] = self.socket
        environ |= self.fields
        to_continue = self.socket if environ.get("HTTP_EXPECT") == "100-continue" else None
        self.wsgi_input = Input(self.rfile, self.content_length, to_continue, CODING in environ)
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        return environ

    # the answer

    def start_response(
        self, status: str, headers: Sequence[Field], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Take the head of an answer, as PEP 3333 has it.

        Raises:
            ValueError: a field would end its line, or promises a body where none may be.
            TypeError: a field is no text.
        """
        if exc_info and self.headers_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        given = {name.lower(): value for name, value in headers}
        more = self._fields_of_the_connection(given)
        if "date" not in given:
            more.append(("Date", _date(int(time.time()))))
        lines = [f"HTTP/1.1 {status}\r\n"]
        lines += [name + ": " + value + "\r\n" for name, value in (*headers, *more)]
        head = "".join(lines)
        if not head.count("\r") == head.count("\n") == len(lines):
            raise ValueError(f"an end of line in {lines!r}")
        code, length = int(status[:3]), given.get("content-length")
        if code in (204, 304) and length not in (None, "0"):
            raise ValueError(f"a length of {length} for {status}")
        self._head = head.encode("latin-1")
        self._orig_status, self.status = status, status.encode("latin-1")
        self.code = code
        self.provided_date = True  # to gevent's code, which adds one otherwise
        self.provided_content_length = length
        self.response_headers: list[tuple[bytes, bytes]] = []
        return self.write  # type: ignore[no-any-return]

    def _fields_of_the_connection(self, given: Mapping[str, str]) -> list[Field]:
        """Return the fields that ``given`` lacks, and settle whether the connection is kept."""
        if not self._worker.alive or self._worker.surplus > 0:
            self._worker.surplus -= 1
            self.close_connection = True
            return [("Connection", "close")]
        if "connection" in given:
            self.close_connection |= given["connection"].lower() == "close"
            return []
        if self.request_version == "HTTP/1.0":
            return [("Connection", "close" if self.close_connection else "keep-alive")]
        return []

    def _write_with_headers(self, data: bytes) -> None:
        """Send head and body together: a head alone would wake the caller for itself."""
        self.headers_sent = True
        if self.provided_content_length is None:
            self.finalize_headers()
        fields = [b"%b: %b\r\n" % field for field in self.response_headers]
        head = b"".join((self._head, *fields, b"\r\n"))
        if self.response_use_chunked:
            self._sendall(head)
            self._write(data)
            return
        sent = self.socket.sendmsg((head, data))
        self.response_length += sent
        if (rest := sent - len(head)) < 0:
            self._sendall(head[sent:])
            rest = 0
        if rest < len(data):
            self._sendall(memoryview(data)[rest:])

    def log_request(self) -> None:
        if self._worker.logs_access:
            super().log_request()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
