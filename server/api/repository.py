"""The model repository's index, and the loading and unloading of models.

Source: the model repository extension of the Open Inference Protocol v2.
"""

import hmac
from typing import Any

from flask import Blueprint, Response, jsonify, request

from server.api.body import read_json
from server.bundle.manifest import NAME, VERSION
from server.config import ServerConfig
from server.errors import (
    InvalidRequest,
    LoadFailed,
    ModelUnavailable,
    NoAdministrators,
    NotAuthorized,
    without_paths,
)
from server.ipc.catalog import READY, Catalog
from server.worker.engine_client import EngineClient

LOAD_TIMEOUT_S = 300.0
"""How long an administrator waits for a model to be loaded."""


def blueprint(config: ServerConfig, client: EngineClient) -> Blueprint:
    """Return the routes below /v2/repository.

    A body counts whatever its Content-Type says: most clients of the protocol send another one
    than JSON's, or none.
    """
    routes = Blueprint("repository", __name__, url_prefix="/v2/repository")

    @routes.post("/index")
    def index() -> Response:
        """List every version of every model, and why one is not served, or not as it lies there."""
        only_ready = _body().get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidRequest("ready", only_ready, "true or false")
        return jsonify(
            [
                {
                    "name": x.name,
                    "version": x.version,
                    "state": x.state,
                    "reason": without_paths(x.reason),
                }
                for x in client.catalog.entries.values()
                if x.state == READY or not only_ready
            ]
        )

    @routes.post("/models/<name>/<any(load, unload):action>")
    def administer(name: str, action: str) -> Response:
        """Load or unload a model: its newest version, or the one in ``parameters.version``."""
        _authorize(config.admin_token)
        version = _version(_body())
        if not NAME.fullmatch(name):
            raise InvalidRequest("model", name, "a model's name")
        if action == "unload":
            _check_wanted(client.catalog, name, version)
        client.administer(action, name, version, LOAD_TIMEOUT_S)
        return jsonify({})

    return routes


def _authorize(token: str) -> None:
    """Check that the request has the administrators' ``token``.

    Raises:
        NoAdministrators, NotAuthorized: there is none, or the request has another.
    """
    if not token:
        raise NoAdministrators
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # A header's bytes arrive decoded as Latin-1.
    is_token = hmac.compare_digest(given.strip(" ").encode("latin-1"), token.encode())
    if scheme.lower() != "bearer" or not is_token:
        raise NotAuthorized


def _body() -> dict[str, Any]:
    body = read_json(request.environ)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise InvalidRequest("body", body, "a JSON object, or nothing")
    return body


def _version(body: dict[str, Any]) -> str:
    """Return the version that the body of a load or unload names; it is empty if there is none."""
    parameters = body.get("parameters", {})
    version = parameters.get("version", "") if isinstance(parameters, dict) else None
    if type(version) is not str or (version and not VERSION.fullmatch(version)):
        raise InvalidRequest("parameters", parameters, '{"version": "2"} or nothing')
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise InvalidRequest("parameters", parameters, "a bundle of the repository as it is")
    return version


def _check_wanted(catalog: Catalog, name: str, version: str) -> None:
    """Check that there is something to unload: a bundle that is served, or asked for.

    Raises:
        ModelNotFound, LoadFailed: the repository has no such bundle, or it is not loaded.
    """
    spec = f"{name}/{version}" if version else name
    if any(spec in (asked, asked.partition("/")[0]) for asked in catalog.asked):
        return
    try:
        catalog.find(name, version or None)
    except ModelUnavailable as error:
        raise LoadFailed(f"there is nothing to unload: {error}") from error
