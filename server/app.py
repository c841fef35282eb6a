"""The WSGI application of one HTTP worker, put together."""

from flask import Flask, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException, NotFound

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
    fast_path = FastPath(service, app.wsgi_app)
    tracer = Tracer() if config.traces == "otlp" else None
    middleware = RequestMiddleware(fast_path, config.request_timeout_s, tracer)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app


def _flask(config: ServerConfig, client: EngineClient, service: ImageService) -> Flask:
    """Return Flask's part of the application: all routes, and the rendering of errors."""
    app = Flask(__name__, static_folder=None, template_folder="page/templates")
    app.config["PROPAGATE_EXCEPTIONS"] = True  # to the middleware, which answers for bugs
    # A redirect would name the host that the caller has sent.
    app.url_map.merge_slashes = app.url_map.redirect_defaults = False
    app.register_blueprint(images.blueprint(service))
    processes = config.processes_path if config.runtime_dir else None
    app.register_blueprint(health.blueprint(client, processes))
    app.register_blueprint(repository.blueprint(config, client))
    app.register_blueprint(pages.blueprint(client))
    app.register_error_handler(ServingError, problem.from_serving_error)
    app.register_error_handler(HTTPException, problem.from_http_exception)
    app.session_interface = _NoSessions()
    app.before_request(_begin)
    return app


class _NoSessions(SessionInterface):
    """No request has a session; Flask would look for one in each."""

    _null = NullSession()

    def open_session(self, *_: object, **__: object) -> NullSession:
        return self._null


def _begin() -> None:
    """Tell the request's context which of Flask's routes the request takes.

    Flask would take two slashes at the beginning for one: a proxy that lets only some paths through
    does not.
    """
    path = request.environ["PATH_INFO"]
    if not path.startswith("/") or path.startswith("//"):
        raise NotFound
    if request.url_rule:
        request.environ[CONTEXT].route = request.url_rule.rule
