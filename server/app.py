"""The HTTP side: routes, one error handler, and what every request has in common."""

import time

from flask import Flask, Response, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException

from server.api import fast_path, health, images, pages, problem, repository
from server.config import ServerConfig
from server.errors import ServingError
from server.observability import logs, metrics, tracing
from server.worker.engine_client import EngineClient

MAX_BODY = 64 * 1024
"""Bytes of a request's body: what is asked for here is always small."""


def create_app(config: ServerConfig | None = None, client: EngineClient | None = None) -> Flask:
    """Return the WSGI application of one HTTP worker.

    Raises:
        ConfigError: the environment is amiss, or traces are wanted without their libraries.
    """
    config = config or ServerConfig.from_env()
    if client is None:
        client = EngineClient(config.engine_dirs, config.arena_mib * 2**20)
    app = Flask(__name__, template_folder="page/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    artist = images.Artist(config, client)
    app.register_blueprint(images.blueprint(artist))
    processes = config.processes_path if config.runtime_dir else None
    app.register_blueprint(health.blueprint(client, processes))
    app.register_blueprint(repository.blueprint(config, client))
    app.register_blueprint(pages.blueprint(client))
    app.register_error_handler(ServingError, problem.from_serving_error)
    app.register_error_handler(HTTPException, problem.from_http_exception)
    app.session_interface = _NoSessions()
    app.after_request(_observe)
    app.wsgi_app = fast_path.ShortCut(artist, app.wsgi_app, MAX_BODY)  # type: ignore[method-assign]
    if config.traces == "otlp":
        app.wsgi_app = tracing.Traced(app.wsgi_app)  # type: ignore[method-assign]
    return app


class _NoSessions(SessionInterface):
    """No request has a session; Flask would look for one in each."""

    _null = NullSession()

    def open_session(self, *_: object, **__: object) -> NullSession:
        return self._null


def _observe(response: Response) -> Response:
    environ, rule = request.environ, request.url_rule
    response.headers[logs.HEADER] = environ[logs.ENVIRON]
    route = environ[tracing.ROUTE] = rule.rule if rule else "none"
    seconds = time.perf_counter() - environ[fast_path.BEGAN]
    method = environ["REQUEST_METHOD"]
    metrics.REQUEST_SECONDS.labels(method, route, response.status_code).observe(seconds)
    return response
