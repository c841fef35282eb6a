"""Plain requests for images are answered, or refused, before Flask sees them.

Flask's routing, contexts and response objects cost more than drawing an image, and the more the
less often they run: where inference has the caches between two requests, Flask's code comes from
memory each time.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from server.api.context import CONTEXT, RequestContext
from server.api.generate import ImageService
from server.api.image_request import PLAIN, READERS, ImageRequest
from server.api.image_urls import answer_url
from server.api.images import MANY, ROUTE, Answer, answer
from server.api.problem import of_serving_error
from server.api.query import parse_seed
from server.errors import ERROR, ServingError
from server.ipc.sources import SeedRange
from server.worker.streamed import Streamed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX, SUFFIX = map(re.escape, ROUTE.split("<seed>"))
ONE = re.compile(PREFIX + "([0-9]{1,20})" + SUFFIX).fullmatch
"""The match of a path that names an image by its seed, which is group 1."""


class PlainRequest(NamedTuple):
    """One kind of request that is answered before Flask."""

    route: str
    """The route's name in metrics and traces; Flask has the same route."""
    match: Callable[["WSGIEnvironment"], Any]
    """Returns what tells by a request's head that it is of this kind; nothing if it is not."""
    parse: Callable[["WSGIEnvironment", Any, int], ImageRequest]
    """Takes the match too, and the most images of a request; returns what to generate, or raises a
    ``ServingError``."""
    answer: Callable[[ImageService, ImageRequest, "WSGIEnvironment"], Answer]
    """Returns the answer, or raises a ``ServingError``."""


PLAIN_REQUESTS = {
    "GET": PlainRequest(
        ROUTE,
        lambda x: not x.get("QUERY_STRING") and ONE(x["PATH_INFO"]),
        lambda _, found, __: ImageRequest(SeedRange(parse_seed(found[1]), 1), PLAIN["png"]),
        answer_url,
    ),
    "POST": PlainRequest(
        MANY,
        lambda x: x["PATH_INFO"] == MANY and READERS.get(x.get("CONTENT_TYPE")),
        lambda x, read, most: read(x, most),
        answer,
    ),
}
"""The requests that are answered here, by their methods."""


class FastPath:
    """A WSGI application that answers plain requests by itself, and leaves the others to ``app``.

    The body of a request that it leaves is not read.
    """

    def __init__(self, service: ImageService, app: "WSGIApplication") -> None:
        self._service = service
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        body: bytes | Streamed
        if ERROR in environ:  # the request could not be read
            status, fields, body = of_serving_error(environ[ERROR], environ["PATH_INFO"])
            start_response(status, fields)
            return (body,)
        plain = PLAIN_REQUESTS.get(environ["REQUEST_METHOD"])
        found = plain and plain.match(environ)
        if plain is None or not found:
            # To upgrade is a wish that may be ignored; Flask would know no route for a WebSocket.
            environ.pop("HTTP_UPGRADE", None)
            return self._app(environ, start_response)
        context: RequestContext = environ[CONTEXT]
        context.route = plain.route
        try:
            wanted = plain.parse(environ, found, self._service.most_images)
            status, fields, body = plain.answer(self._service, wanted, environ)
        except ServingError as error:
            status, fields, body = of_serving_error(error, environ["PATH_INFO"])
        start_response(status, fields)
        return (body,) if isinstance(body, bytes) else body
