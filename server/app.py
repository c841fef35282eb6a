"""The WSGI application of one HTTP worker, put together."""

from flask import Flask, Response, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException

from server.api import health, images, pages, problem, repository
from server.api.context import CONTEXT, RequestMiddleware
from server.api.fast_path import FastPath
from server.api.generate import ImageService
from server.codecs.formats import FORMATS
from server.config import ServerConfig
from server.errors import ServingError
from server.observability.tracing import Tracer
from server.worker.engine_client import EngineClient
from server.worker.gevent_io import GeventLoop
from server.worker.request_reader import MAX_BODY


def create_app(config: ServerConfig | None = None, client: EngineClient | None = None) -> Flask:
    """Return the WSGI application of one HTTP worker.

    Raises:
        ConfigError: the environment is amiss, or traces are wanted without their libraries.
    """
    config = config or ServerConfig.from_env()
    if client is None:
        client = EngineClient(config.engine_dirs, config.arena_mib * 2**20, GeventLoop())
    service = ImageService(client, "images", FORMATS.values())
    app = _flask(config, client, service)
    fast_path = FastPath(service, app.wsgi_app, MAX_BODY)
    tracer = Tracer() if config.traces == "otlp" else None
    middleware = RequestMiddleware(fast_path, config.request_timeout_s, tracer)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app


def _flask(config: ServerConfig, client: EngineClient, service: ImageService) -> Flask:
    """Return Flask's part of the application: all routes, and the rendering of errors."""
    app = Flask(__name__, template_folder="page/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_blueprint(images.blueprint(service))
    processes = config.processes_path if config.runtime_dir else None
    app.register_blueprint(health.blueprint(client, processes))
    app.register_blueprint(repository.blueprint(config, client))
    app.register_blueprint(pages.blueprint(client))
    app.register_error_handler(ServingError, problem.from_serving_error)
    app.register_error_handler(HTTPException, problem.from_http_exception)
    app.session_interface = _NoSessions()
    app.after_request(_note_route)
    return app


class _NoSessions(SessionInterface):
    """No request has a session; Flask would look for one in each."""

    _null = NullSession()

    def open_session(self, *_: object, **__: object) -> NullSession:
        return self._null


def _note_route(response: Response) -> Response:
    """Tell the request's context which of Flask's routes the request took."""
    if request.url_rule:
        request.environ[CONTEXT].route = request.url_rule.rule
    return response
