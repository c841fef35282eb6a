"""The model repository over HTTP: its index, and the loading and unloading of models."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from server.api.body import read_json
from server.api.context import CONTEXT
from server.api.repository_service import RepositoryService
from server.errors import InvalidRequest


def blueprint(service: RepositoryService) -> Blueprint:
    """Return the routes below /v2/repository.

    A body counts whatever its Content-Type says: most clients of the protocol send another one
    than JSON's, or none.
    """
    routes = Blueprint("repository", __name__, url_prefix="/v2/repository")

    @routes.post("/index")
    def index() -> Response:
        only_ready = _body().get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidRequest("ready", only_ready, "true or false")
        return jsonify(service.index(only_ready))

    @routes.post("/models/<name>/<any(load, unload):action>")
    def administer(name: str, action: str) -> Response:
        caller = request.environ[CONTEXT].caller
        service.authorize(caller, request.headers.get("Authorization", ""))
        service.administer(action, name, _body().get("parameters", {}))
        return jsonify({})

    return routes


def _body() -> dict[str, Any]:
    body = read_json(request.environ, inflates=True)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise InvalidRequest("body", body, "a JSON object, or nothing")
    return body
