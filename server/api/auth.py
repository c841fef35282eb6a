"""Who may ask: every route needs a key, but for those that are listed here as open.

The check is before Flask and before the fast path, so no route can be forgotten.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from server.api.context import CONTEXT
from server.api.problem import of_serving_error
from server.errors import ERROR, ServingError
from server.worker.caller import Caller
from server.worker.known_keys import KnownKeys

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROBES = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
"""The paths that need no key: orchestrators have none."""
METRICS = "/metrics"
"""The path that needs none either, unless the metrics have a port of their own."""


class KeyCheck:
    """A WSGI application that passes on to ``app`` only what holders of keys ask, and open paths.

    Whatever a request says of its key is taken out of it: nothing behind this can log it.
    """

    def __init__(
        self, app: "WSGIApplication", keys: KnownKeys, open_paths: Collection[str]
    ) -> None:
        self._app = app
        self._keys = keys
        self._open_paths = open_paths

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        authorization = environ.pop("HTTP_AUTHORIZATION", "")
        api_key = environ.pop("HTTP_X_API_KEY", None)
        path = environ["PATH_INFO"]
        if path in self._open_paths or ERROR in environ:  # one that could not be read draws nothing
            return self._app(environ, start_response)
        try:
            caller = self._keys.holder(authorization, api_key)
        except ServingError as error:
            status, fields, body = of_serving_error(error, path)
            start_response(status, fields)
            return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)
        environ[CONTEXT].caller = caller
        return self._app(environ, _telling(caller, start_response))


def _telling(caller: Caller, start_response: "StartResponse") -> "StartResponse":
    """Return ``start_response`` that adds what ``caller`` has left of its limits.

    No cache that others share may keep what is for holders of keys.
    """

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        for i, (name, value) in enumerate(headers):
            if name == "Cache-Control":
                headers[i] = name, value.replace("public", "private")
        if caller.is_limited:
            headers.extend(caller.fields(dict(headers).get("Retry-After")))
        return start_response(status, headers, exc_info)

    return start
