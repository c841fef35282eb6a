"""The model repository's index, and the loading and unloading of models.

Source: the model repository extension of the Open Inference Protocol v2.
"""

import hmac

from flask import Blueprint, Response, jsonify, request

from server.bundle.manifest import NAME, VERSION
from server.config import ServerConfig
from server.errors import InvalidRequest, NoAdministrators, NotAuthorized
from server.ipc.catalog import READY
from server.worker.engine_client import EngineClient

LOAD_TIMEOUT_S = 300.0
"""How long an administrator waits for a model to be loaded."""


def blueprint(config: ServerConfig, client: EngineClient) -> Blueprint:
    """Return the routes below /v2/repository."""
    routes = Blueprint("repository", __name__, url_prefix="/v2/repository")

    @routes.post("/index")
    def index() -> Response:
        """List every version of every model, and why one is not served, or not as it lies there."""
        only_ready = _body().get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidRequest("ready", only_ready, "true or false")
        entries = client.catalog.entries.values()
        return jsonify(
            [
                {"name": x.name, "version": x.version, "state": x.state, "reason": x.reason}
                for x in entries
                if x.state == READY or not only_ready
            ]
        )

    @routes.post("/models/<name>/<any(load, unload):action>")
    def administer(name: str, action: str) -> Response:
        """Load or unload a model: its newest version, or the one in ``parameters.version``."""
        _authorize(config.admin_token)
        parameters = _body().get("parameters", {})
        version = parameters.get("version", "") if isinstance(parameters, dict) else None
        if type(version) is not str or (version and not VERSION.fullmatch(version)):
            raise InvalidRequest("parameters", parameters, '{"version": "2"} or nothing')
        if not NAME.fullmatch(name):
            raise InvalidRequest("model", name, "a model's name")
        client.administer(action, name, version, LOAD_TIMEOUT_S)
        return jsonify({})

    return routes


def _authorize(token: str) -> None:
    if not token:
        raise NoAdministrators
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise NotAuthorized


def _body() -> dict[str, object]:
    body = request.get_json(force=True, silent=False) if request.data else {}
    if not isinstance(body, dict):
        raise InvalidRequest("body", body, "a JSON object, or nothing")
    return body
