"""Plain requests for images are answered, or refused, before Flask sees them.

Flask's routing, contexts and response objects cost more than drawing an image, and the more the
less often they run: where inference has the caches between two requests, Flask's code comes from
memory each time.
"""

import io
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from server.api.context import CONTEXT, RequestContext
from server.api.generate import ImageService
from server.api.images import MANY, ROUTE, ImageRequest, answer, parse_seed
from server.api.problem import of_serving_error
from server.errors import ERROR, InvalidRequest, ServingError
from server.ipc.messages import SeedRange

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX, SUFFIX = ROUTE.split("<seed>")


class PlainRequest(NamedTuple):
    """One kind of request that is answered before Flask."""

    route: str
    """The route's name in metrics and traces; Flask has the same route."""
    matches: Callable[[str], bool]
    """Tells whether a path is of this kind."""
    parse: Callable[["WSGIEnvironment", int], ImageRequest | None]
    """Takes how many bytes of a body may be read; returns what to generate, None where only Flask
    can tell what is amiss."""


def _parse_path(environ: "WSGIEnvironment", _: int) -> ImageRequest:
    seed = parse_seed(environ["PATH_INFO"][len(PREFIX) : -len(SUFFIX)])
    return ImageRequest(SeedRange(seed, 1), "png")


def _parse_body(environ: "WSGIEnvironment", max_body: int) -> ImageRequest | None:
    """Return what the body asks for, and leave the body to be read again."""
    if environ.get("CONTENT_TYPE") != "application/json":
        return None
    try:
        length = int(environ["CONTENT_LENGTH"])
        if length > max_body:
            return None
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        return ImageRequest.from_json(json.loads(body))
    except (KeyError, ValueError, OSError):  # in chunks, no JSON, or cut off
        return None


PLAIN_REQUESTS = {
    "GET": (
        PlainRequest(ROUTE, lambda x: x.startswith(PREFIX) and x.endswith(SUFFIX), _parse_path),
    ),
    "POST": (PlainRequest(MANY, lambda x: x == MANY, _parse_body),),
}
"""The requests that are answered here, by their methods."""


def parse(environ: "WSGIEnvironment", max_body: int) -> tuple[str, ImageRequest | None]:
    """Return the route of a plain request and what it asks for.

    The latter is None for any other request, and for one in which something is amiss: Flask says
    what.
    """
    path = environ["PATH_INFO"]
    for route, matches, parse_plain in PLAIN_REQUESTS.get(environ["REQUEST_METHOD"], ()):
        if matches(path):
            try:
                return route, parse_plain(environ, max_body)
            except InvalidRequest:
                break
    return "", None


class FastPath:
    """A WSGI application that answers plain requests by itself, and leaves the others to ``app``.

    ``max_body`` is how many bytes of a body are read here.
    """

    def __init__(self, service: ImageService, app: "WSGIApplication", max_body: int) -> None:
        self._service = service
        self._app = app
        self._max_body = max_body

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if ERROR in environ:  # the request could not be read
            status, fields, body = of_serving_error(environ[ERROR], environ["PATH_INFO"])
            start_response(status, fields)
            return (body,)
        route, wanted = parse(environ, self._max_body)
        if wanted is None:
            return self._app(environ, start_response)
        context: RequestContext = environ[CONTEXT]
        context.route = route
        status = "200 OK"
        try:
            fields, body = answer(self._service, wanted, context)
        except ServingError as error:
            status, fields, body = of_serving_error(error, environ["PATH_INFO"])
        except Exception as error:  # Flask has the handler for bugs
            environ[ERROR] = error
            return self._app(environ, start_response)
        start_response(status, fields)
        return (body,)
