"""What every HTTP request has in common: an id, terms, a duration in the metrics, a trace, and an
answer even where a bug raises.
"""

import logging
from collections.abc import Iterable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from server.api.generate import Timings
from server.error_document import error_document
from server.errors import InvalidRequest
from server.observability.known_series import NO_ROUTE
from server.observability.logs import HEADER, begin_request
from server.observability.request_counts import RequestCounts
from server.observability.tracing import Tracer
from server.worker.caller import Caller
from server.worker.peer import PEER, WAITED, Peer
from server.worker.request_terms import RequestTerms
from server.worker.streamed import Streamed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

CONTEXT = "carfront.context"
"""The key of a request's ``RequestContext`` in its WSGI environment."""
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
OTHER = "_OTHER"
"""The name of any other method, in metrics and traces too: nobody shall keep as many methods
apart as a caller can think of. Source: OpenTelemetry's semantic conventions,
``http.request.method``."""
LONGEST_MS = 3_600_000
"""A caller may not ask for a longer wait than an hour."""
FAULT = "the server has a fault; its log says what it is, with this request's id"
PRIORITIES = {"interactive": False, "bulk": True}
"""Whether a request lets others go first, by what its header says."""


class RequestContext:
    """What is known of one request besides what it asks for.

    The context lies in the request's WSGI environment, and so does not refer to that: a cycle would
    keep both until the garbage collector comes.
    """

    __slots__ = (
        "_default_timeout_s", "_peer", "_priority", "_timeout_ms", "began", "caller", "method",
        "request_id", "route", "streamed", "timings", "waited_s",
    )  # fmt: skip

    def __init__(self, environ: "WSGIEnvironment", default_timeout_s: float) -> None:
        self.began = perf_counter()
        """When the request began, by ``time.perf_counter``."""
        self.waited_s: float = environ.get(WAITED, 0.0)
        """The seconds before that for which the whole request was there already."""
        self.request_id = begin_request(environ)
        method = environ["REQUEST_METHOD"]
        if method not in METHODS:
            method = environ["REQUEST_METHOD"] = OTHER
        self.method: str = method
        self.route = NO_ROUTE
        """The route that the request took, such as ``/v1/images/<seed>.png``."""
        self.timings: Timings | None = None
        """How long the steps of the answer took, where images were generated."""
        self.caller: Caller | None = None
        """The holder of the key that the request has; None where nobody needs a key."""
        self.streamed: Streamed | None = None
        """The body of the answer, where that is sent while it is made."""
        self._default_timeout_s = default_timeout_s
        self._timeout_ms: str | None = environ.get("HTTP_X_REQUEST_TIMEOUT_MS")
        self._priority: str = environ.get("HTTP_CARFRONT_PRIORITY", "interactive")
        self._peer: Peer | None = environ.get(PEER)

    def terms(self) -> RequestTerms:
        """Return the terms that the request's headers state: timeout, priority, and peer.

        Raises:
            InvalidRequest: ``X-Request-Timeout-Ms`` or ``Carfront-Priority`` has an unknown value.
        """
        text = self._timeout_ms
        timeout_s = self._default_timeout_s if text is None else _seconds(text)
        bulk = PRIORITIES.get(self._priority)
        if bulk is None:
            raise InvalidRequest("Carfront-Priority", self._priority, " or ".join(PRIORITIES))
        return RequestTerms(timeout_s, bulk, self._peer, self.caller)


class RequestMiddleware:
    """Gives every request that ``app`` answers its context, and tells metrics and traces of it.

    ``default_timeout_s`` is for the requests that do not say how long they wait.
    """

    def __init__(
        self, app: "WSGIApplication", default_timeout_s: float, tracer: Tracer | None = None
    ) -> None:
        self._app = app
        self._default_timeout_s = default_timeout_s
        self._tracer = tracer
        self._counts = RequestCounts()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        context = environ[CONTEXT] = RequestContext(environ, self._default_timeout_s)
        tracer = self._tracer
        span = tracer.begin(context.method, environ) if tracer else None

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if context.streamed is None:
                self._end(context, span, environ["PATH_INFO"], status)
            else:
                context.streamed.at_end(
                    partial(self._end, context, span, environ["PATH_INFO"], status)
                )
            headers.append((HEADER, context.request_id))
            return start_response(status, headers, exc_info)

        try:
            return self._app(environ, start)
        except Exception:
            path = environ["PATH_INFO"]
            log.exception("unhandled error for %r", path)
            status, fields, body = error_document(500, path, FAULT)
            start(status, fields)
            return () if context.method == "HEAD" else (body,)

    def _end(self, context: RequestContext, span: Any, path: str, status: str) -> None:
        """Tell metrics and traces that the answer is there."""
        images = context.timings.images if context.timings else 0
        seconds = perf_counter() - context.began + context.waited_s
        self._counts.observe(context.route, status[:3], images, seconds)
        if self._tracer:
            facts = _span_facts(context, path, int(status[:3]))
            self._tracer.end(span, *facts, failed=status >= "500")


def _span_facts(
    context: RequestContext, path: str, status: int
) -> tuple[str, dict[str, str | int], dict[str, float]]:
    """Return the name of a request's span, the span's attributes, and the seconds of its steps."""
    attributes: dict[str, str | int] = {
        "http.request.method": context.method,
        "http.route": context.route,
        "url.path": path,
        "http.response.status_code": status,
        "carfront.request_id": context.request_id,
    }
    steps = context.timings.steps() if context.timings else {}
    return f"{context.method} {context.route}", attributes, steps


def _seconds(text: str) -> float:
    """Return the seconds of ``X-Request-Timeout-Ms``.

    Raises:
        InvalidRequest: the text is no number of milliseconds up to an hour.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 0 < int(text) <= LONGEST_MS:
        return int(text) / 1000
    wanted = f"a whole number of milliseconds from 1 to {LONGEST_MS}"
    raise InvalidRequest("X-Request-Timeout-Ms", text, wanted)
