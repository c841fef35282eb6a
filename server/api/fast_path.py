"""Requests that draw are answered, or refused, before Flask sees them; the others are Flask's.

Flask's routing, contexts and response objects cost more than drawing an image, and the more the
less often they run: where inference has the caches between two requests, its code comes from
memory each time.
"""

import io
import json
import time
from collections.abc import Iterable
from http.client import responses
from typing import TYPE_CHECKING, Any

from server.api.images import ERROR, MANY, ROUTE, Artist, Draw, parse_seed
from server.api.problem import of_serving_error
from server.errors import InvalidRequest, ServingError
from server.observability import metrics, tracing
from server.observability.logs import HEADER, begin_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BEGAN = "carfront.began"
"""When a request began, by ``time.perf_counter``."""
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
OTHER = "_OTHER"
"""What any other method is called: who counts or traces by method shall not keep as many as a
caller can think of. Source: OpenTelemetry's semantic conventions, ``http.request.method``."""
ROUTES = {"GET": ROUTE, "POST": MANY}
"""What is answered here, by its method."""
PREFIX, SUFFIX = ROUTE.split("<seed>")


class ShortCut:
    """Names every request, and has ``artist`` draw what a plain one asks for.

    A method that HTTP does not know is called ``_OTHER`` from here on, in metrics and traces too.
    ``app`` answers the others. ``max_body`` is how many bytes of a body are read here.
    """

    def __init__(self, artist: Artist, app: "WSGIApplication", max_body: int) -> None:
        self._artist = artist
        self._app = app
        self._max_body = max_body
        self._timers: dict[tuple[str, int], Any] = {}
        """By method and status."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        began = environ[BEGAN] = time.perf_counter()
        request_id = begin_request(environ)
        if environ["REQUEST_METHOD"] not in METHODS:
            environ["REQUEST_METHOD"] = OTHER
        wanted = wanted_by(environ, self._max_body)
        if wanted is None:
            return self._app(environ, start_response)
        try:
            drawn = self._artist.draw(wanted, environ)
            status, fields, body = 200, drawn.headers, drawn.body
        except ServingError as error:
            status = int(error.status)
            fields, body = of_serving_error(error, environ["PATH_INFO"])
        except Exception as error:  # Flask has the handler for bugs
            environ[ERROR] = error
            return self._app(environ, start_response)
        method = environ["REQUEST_METHOD"]
        environ[tracing.ROUTE] = ROUTES[method]
        self._timer(method, status).observe(time.perf_counter() - began)
        line = f"{status} {responses.get(status, 'Unknown')}"
        start_response(line, [*fields, (HEADER, request_id)])
        return (body,)

    def _timer(self, method: str, status: int) -> Any:
        timer = self._timers.get((method, status))
        if timer is None:
            timer = metrics.REQUEST_SECONDS.labels(method, ROUTES[method], status)
            self._timers[method, status] = timer
        return timer


def wanted_by(environ: "WSGIEnvironment", max_body: int) -> Draw | None:
    """Return what a request wants drawn; None for any other, and for one that is amiss."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    try:
        if method == "GET" and path.startswith(PREFIX) and path.endswith(SUFFIX):
            return Draw(1, parse_seed(path[len(PREFIX) : -len(SUFFIX)]), "png")
        if method == "POST" and path == MANY and environ.get("CONTENT_TYPE") == "application/json":
            return _in_body(environ, max_body)
    except InvalidRequest:
        pass
    return None


def _in_body(environ: "WSGIEnvironment", max_body: int) -> Draw | None:
    """Return what the body asks for, and leave it to be read again."""
    try:
        length = int(environ["CONTENT_LENGTH"])
        if length > max_body:
            return None
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        return Draw.from_json(json.loads(body))
    except (KeyError, ValueError, OSError):  # in chunks, no JSON, or cut off
        return None
