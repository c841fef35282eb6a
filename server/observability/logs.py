"""Log lines with request ids: as text for people at a terminal, as JSON for a collector."""

import io
import itertools
import json
import logging
import re
import secrets
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any, TextIO

from gunicorn.glogging import Logger

printed = logging.getLogger("stderr")
"""The logger of what no logger was used for."""

HEADER = "X-Request-Id"

_trace: ContextVar[str | None] = ContextVar("trace_id", default=None)
_traceparent = re.compile(
    r"[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*"
).fullmatch
"""The match of a ``traceparent`` header, with its trace id as group 1.

Source: W3C Trace Context.
"""
_current: ContextVar[str | None] = ContextVar("request_id", default=None)
_acceptable = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_process = secrets.token_hex(6)
_numbers = itertools.count(1)


def begin_request(environ: dict[str, Any]) -> str:
    """Return the id of a request that begins: the caller's own, or a new one.

    All lines that this greenlet logs afterwards carry the request's id and its caller's trace id.
    """
    given = environ.get("HTTP_X_REQUEST_ID")
    request_id = given if given and _acceptable(given) else f"{_process}-{next(_numbers):x}"
    _current.set(request_id)
    parent = environ.get("HTTP_TRACEPARENT")
    found = _traceparent(parent) if parent else None
    _trace.set(found[1] if found else None)
    return request_id


def renew() -> None:
    """Give this process request ids of its own; it must be called after a fork."""
    global _process
    _process = secrets.token_hex(6)


class JsonLines(logging.Formatter):
    """Formats a line as a JSON object: time, level, pid, logger, message, and ids if known."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := _current.get():
            line["request_id"] = request_id
        if trace_id := _trace.get():
            line["trace_id"] = trace_id
        if record.exc_info and record.exc_info[0]:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class Text(logging.Formatter):
    """Formats a line as gunicorn does, with the request's id at the end."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]"
        )

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{text} [{request_id}]" if (request_id := _current.get()) else text


class GunicornLogger(Logger):  # type: ignore[misc]
    """Passes gunicorn's error log on to our handler; the access log stays as gunicorn sets it."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class PrintedLines(io.TextIOBase):
    """Stands for stderr where the log is JSON: a line that a library prints is a line of the log.

    ``stream`` is the real stderr, to which the log is written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""
        self._here = threading.local()

    def write(self, text: str) -> int:
        if getattr(self._here, "logs", False):  # the log itself fails, and says so
            return self._stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        self._here.logs = True
        try:
            for line in filter(str.strip, lines):
                printed.error("%s", line)
        finally:
            self._here.logs = False
        return len(text)

    def flush(self) -> None:
        if self._rest:
            self.write("\n")

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


def configure(level: str, form: str) -> None:
    """Send all log lines from ``level`` on to stderr.

    ``form`` is text, json, or anything else, which is text where stderr is a terminal. Where it is
    JSON, so are warnings, errors that nothing handles, and what is printed to ``sys.stderr``.
    """
    if form not in ("text", "json"):
        form = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(Text() if form == "text" else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if form == "json" and sys.__stderr__:
        sys.stderr = PrintedLines(sys.__stderr__)
        sys.excepthook = lambda *error: printed.critical("unhandled error", exc_info=error)
        sys.unraisablehook = threading.excepthook = _log_unhandled
        logging.captureWarnings(True)


def _log_unhandled(error: Any) -> None:
    """Log what a thread or a finalizer raised, which nobody can handle."""
    if error.exc_type is not SystemExit:
        trace = error.exc_type, error.exc_value, error.exc_traceback
        printed.error("unhandled error", exc_info=trace)
