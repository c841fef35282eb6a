"""A port of its own for metrics and probes: what is asked there is answered by another application.

It is the same HTTP worker that answers, on connections that have nothing to do with the callers'.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from server.errors import ERROR

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ByPort:
    """A WSGI application that leaves to ``probes`` what comes in at ``port``, and the rest to
    ``app``.
    """

    def __init__(self, app: "WSGIApplication", port: int, probes: "WSGIApplication") -> None:
        self._app = app
        self._port = str(port)
        self._probes = probes

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        # The port is that of the socket which listens, whatever Host says.
        if environ["SERVER_PORT"] != self._port or ERROR in environ:
            return self._app(environ, start_response)
        environ.pop("HTTP_UPGRADE", None)  # Flask would know no route for a WebSocket
        return self._probes(environ, start_response)
