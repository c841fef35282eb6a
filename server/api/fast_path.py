"""Plain requests for images are answered, or refused, before Flask sees them.

Flask's routing, contexts and response objects cost more than drawing an image, and the more the
less often they run: where inference has the caches between two requests, Flask's code comes from
memory each time.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from server.api.body import read_json
from server.api.context import CONTEXT, RequestContext
from server.api.generate import ImageService
from server.api.images import MANY, ROUTE, ImageRequest, answer, parse_seed
from server.api.problem import of_serving_error
from server.errors import ERROR, ServingError
from server.ipc.messages import SeedRange

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
    parse: Callable[["WSGIEnvironment", Any], ImageRequest]
    """Takes the match too; returns what to generate, or raises a ``ServingError``."""


PLAIN_REQUESTS = {
    "GET": PlainRequest(
        ROUTE,
        lambda x: ONE(x["PATH_INFO"]),
        lambda _, found: ImageRequest(SeedRange(parse_seed(found[1]), 1), "png"),
    ),
    "POST": PlainRequest(
        MANY,
        lambda x: x["PATH_INFO"] == MANY and x.get("CONTENT_TYPE") == "application/json",
        lambda x, _: ImageRequest.from_json(read_json(x)),
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
        status = "200 OK"
        try:
            fields, body = answer(self._service, plain.parse(environ, found), context)
        except ServingError as error:
            status, fields, body = of_serving_error(error, environ["PATH_INFO"])
        start_response(status, fields)
        return (body,)
