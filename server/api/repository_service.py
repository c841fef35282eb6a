"""The model repository's index, and the loading and unloading of models, for REST and gRPC alike.

Source: the model repository extension of the Open Inference Protocol v2.
"""

import hmac
from typing import Any

from server.bundle.manifest import NAME, VERSION
from server.errors import (
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    NoAdministrators,
    NotAuthorized,
    without_paths,
)
from server.ipc.catalog import READY, Catalog
from server.worker.caller import Caller
from server.worker.engine_client import EngineClient

LOAD_TIMEOUT_S = 300.0
"""How long an administrator waits for a model to be loaded."""


class RepositoryService:
    """Tells what the repository has, and has the engines load and unload it.

    ``admin_token`` is the administrators', for servers without keys; an empty one is nobody's.
    """

    def __init__(self, client: EngineClient, admin_token: str) -> None:
        self._client = client
        self._admin_token = admin_token

    def index(self, only_ready: bool) -> list[dict[str, str]]:
        """Return every version of every model, and why one is not served, or not as it lies there.

        Only those that are served are returned where ``only_ready`` says so.
        """
        return [
            {
                "name": x.name,
                "version": x.version,
                "state": x.state,
                "reason": without_paths(x.reason),
            }
            for x in self._client.catalog.entries.values()
            if x.state == READY or not only_ready
        ]

    def authorize(self, caller: Caller | None, authorization: str) -> None:
        """Check that a request has an administrator's key, or without keys the token.

        ``authorization`` is the field of that name, whose bytes are decoded as Latin-1.

        Raises:
            NotAdministrator: the key is a user's.
            NoAdministrators, NotAuthorized: there is no token, or the request has another.
        """
        if caller:
            caller.check_admin()
            return
        if not self._admin_token:
            raise NoAdministrators
        scheme, _, given = authorization.partition(" ")
        token = self._admin_token.encode()
        is_token = hmac.compare_digest(given.strip(" ").encode("latin-1"), token)
        if scheme.lower() != "bearer" or not is_token:
            raise NotAuthorized

    def administer(self, action: str, name: str, parameters: Any) -> None:
        """``load`` or ``unload`` a model: its newest version, or the one in ``parameters``.

        Raises:
            InvalidRequest: the name or the parameters are none.
            ModelNotFound, LoadFailed: it cannot be done.
            EngineUnavailable, DeadlineExceeded: no engine is there, or one did not answer in time.
        """
        version = _version(parameters)
        if not NAME.fullmatch(name):
            raise InvalidRequest("model", name, "a model's name")
        catalog = self._client.catalog
        if action == "unload":
            _check_wanted(catalog, name, version)
        try:
            self._client.administer(action, name, version, LOAD_TIMEOUT_S)
        except LoadFailed as error:
            raise _missing(self._client.catalog, name, version) or error from error


def _version(parameters: Any) -> str:
    """Return the version that a load or unload names; it is empty if there is none."""
    version = parameters.get("version", "") if isinstance(parameters, dict) else None
    if type(version) is not str or (version and not VERSION.fullmatch(version)):
        raise InvalidRequest("parameters", parameters, '{"version": "2"} or nothing')
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise InvalidRequest("parameters", parameters, "a bundle of the repository as it is")
    return version


def _missing(catalog: Catalog, name: str, version: str) -> ModelNotFound | None:
    """Return the error that the repository has no such bundle; None if it has."""
    there = [x for x in catalog.entries.values() if x.name == name]
    if any(version in ("", x.version) for x in there):
        return None
    served = [str(x) for x in catalog.entries.values() if x.state == READY]
    return ModelNotFound(f"{name}/{version}" if version else name, served)


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
