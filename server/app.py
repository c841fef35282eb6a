"""The WSGI application of one HTTP worker, put together."""

from typing import TYPE_CHECKING

from flask import Blueprint, Flask, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException, NotFound

from server.api import (
    health,
    image_urls,
    images,
    latents,
    morph,
    oip,
    pages,
    problem,
    repository,
    restore,
    tfserving,
)
from server.api.auth import METRICS, PROBES, KeyCheck
from server.api.context import CONTEXT, RequestMiddleware
from server.api.fast_path import FastPath
from server.api.generate import ImageService
from server.api.oip_service import InferService
from server.api.openapi import routes as openapi
from server.api.page_files import PageFiles
from server.api.ports import ByPort
from server.api.repository_service import RepositoryService
from server.codecs.animation import ANIMATIONS
from server.codecs.formats import FORMATS
from server.config import ServerConfig
from server.errors import ServingError
from server.observability.tracing import Tracer
from server.worker.engine_client import EngineClient
from server.worker.gevent_io import GeventLoop, GeventTask
from server.worker.key_limits import KeyLimits
from server.worker.known_keys import KnownKeys

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


GRPC_INFER = "/inference.GRPCInferenceService/ModelInfer"
"""The call by gRPC that draws, as the metrics have it among the routes."""


def create_app(config: ServerConfig | None = None, client: EngineClient | None = None) -> Flask:
    """Return the WSGI application of one HTTP worker.

    Raises:
        ConfigError: the environment is amiss, or traces are wanted without their libraries.
        KeysFault: keys are wanted, and their file cannot be used.
    """
    config = config or ServerConfig.from_env()
    if client is None:
        client = EngineClient(config.engine_dirs, config.arena_mib * 2**20, GeventLoop())
    formats = *FORMATS.values(), ANIMATIONS["gif"]
    service = ImageService(client, "images", formats, config.max_images, GeventTask)
    inference = InferService(client, config.body_mib * 2**20)
    infer = oip.InferRest(client, inference, config.body_mib * 2**20)
    app = _flask(config, client, service, inference)
    app.register_blueprint(oip.blueprint(client, inference, infer))
    if not config.metrics_port:
        app.register_blueprint(_metrics(config, client, app))
    answering: WSGIApplication = FastPath(service, oip.InferPath(infer, app.wsgi_app))
    if config.api_keys_file:
        open_paths = PROBES if config.metrics_port else (*PROBES, METRICS)
        answering = KeyCheck(answering, _known_keys(config, client), open_paths)
    answering = PageFiles(answering)
    if config.metrics_port:
        probes = _bare_flask()
        probes.register_blueprint(health.blueprint(client))
        probes.register_blueprint(_metrics(config, client, app))
        answering = ByPort(answering, config.metrics_port, probes.wsgi_app)
    tracer = Tracer() if config.traces == "otlp" else None
    middleware = RequestMiddleware(answering, config.request_timeout_s, tracer)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app


def _known_keys(config: ServerConfig, client: EngineClient) -> KnownKeys:
    """Return the keys of the file, which is looked at from now on."""
    assert config.api_keys_file is not None
    copy = config.api_keys_copy if config.runtime_dir else None
    keys = KnownKeys(config.api_keys_file, copy, KeyLimits.shared(), config.admin_token)
    keys.begin()
    keys.watch(client.loop)
    return keys


def _flask(
    config: ServerConfig, client: EngineClient, service: ImageService, inference: InferService
) -> Flask:
    """Return Flask's part of the application: all routes, and the rendering of errors."""
    app = _bare_flask()
    app.url_map.converters["path_name"] = tfserving.PathName
    app.register_blueprint(images.blueprint(service))
    app.register_blueprint(image_urls.blueprint(service))
    app.register_blueprint(morph.blueprint(service))
    app.register_blueprint(latents.blueprint(client))
    app.register_blueprint(restore.blueprint(client, service))
    app.register_blueprint(health.blueprint(client))
    app.register_blueprint(repository.blueprint(RepositoryService(client, config.admin_token)))
    app.register_blueprint(tfserving.blueprint(client, inference, config.body_mib * 2**20))
    has_keys = bool(config.api_keys_file)
    app.register_blueprint(openapi.blueprint(client, has_keys, config.max_images))
    app.register_blueprint(pages.blueprint(client, has_metrics=not config.metrics_port))
    return app


def _metrics(config: ServerConfig, client: EngineClient, app: Flask) -> Blueprint:
    """Return the route to the metrics, which tell of all routes that ``app`` has by now."""
    processes = config.processes_path if config.runtime_dir else None
    routes = sorted({rule.rule for rule in app.url_map.iter_rules()})
    routes += [GRPC_INFER] if config.grpc_port else []
    return health.metrics_blueprint(client, routes, processes)


def _bare_flask() -> Flask:
    """Return Flask without routes, which renders errors as we do."""
    app = Flask(__name__, static_folder=None, template_folder="page/templates")
    app.config["PROPAGATE_EXCEPTIONS"] = True  # to the middleware, which answers for bugs
    # A redirect would name the host that the caller has sent.
    app.url_map.merge_slashes = app.url_map.redirect_defaults = False
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
