"""The Open Inference Protocol v2 over HTTP: what the server and its models are, and inference.

Requests for inference are answered before Flask, whose routing would cost more than the rest of a
small one. Source: the Open Inference Protocol v2 and Triton's extensions of it.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from server.api import oip_documents as documents
from server.api.body import read_beside_others
from server.api.context import CONTEXT, RequestContext
from server.api.images import Fields
from server.api.oip_infer import answer_parts, read_infer
from server.api.oip_service import Inferred, InferRequest, InferService
from server.api.oip_tensors import BINARY, JSON, LatentsShape
from server.api.problem import of_serving_error
from server.errors import ServingError
from server.worker.engine_client import EngineClient

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "/v2/models/<name>/infer"
VERSIONED = "/v2/models/<name>/versions/<version>/infer"
INFER = re.compile("/v2/models/([^/]+)(?:/versions/([^/]+))?/infer").fullmatch
"""The match of a path of requests for inference: the model is group 1, its version group 2."""
HEADER_LENGTH = "Inference-Header-Content-Length"
"""The field that tells how many bytes of a body are JSON; tensors follow."""
OCTETS = "application/octet-stream"


Answer = tuple[Fields, tuple[bytes, ...]]
"""The header fields of an answer, and the parts of its body."""


class InferRest:
    """Answers requests for inference by HTTP, whose bodies have ``most_bytes`` at most."""

    def __init__(self, client: EngineClient, service: InferService, most_bytes: int) -> None:
        self._client = client
        self._service = service
        self._most_bytes = most_bytes

    def answer(
        self, environ: "WSGIEnvironment", name: str, version: str | None, context: RequestContext
    ) -> Answer:
        """Return the answer to a request.

        Raises:
            ServingError: the request cannot be served, or there are no images.
        """
        read = partial(self._read, environ)
        inferred = self._service.infer(read, context.terms, name, version)
        context.timings = inferred.timings
        return _written(inferred)

    def _read(self, environ: "WSGIEnvironment", shape: LatentsShape) -> InferRequest:
        body = read_beside_others(environ, self._most_bytes, self._client.loop)
        is_octets = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == OCTETS
        length = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH")
        return read_infer(body, length, is_octets, shape)


def _written(inferred: Inferred) -> Answer:
    document, tensors = answer_parts(inferred)
    length = sum(map(len, document))
    fields = [
        ("Content-Type", BINARY.mimetype if tensors else JSON.mimetype),
        ("Content-Length", str(length + sum(map(len, tensors)))),
        ("Carfront-Model", inferred.model),
        ("Carfront-Plan", inferred.plan),
        ("Server-Timing", inferred.timings.in_header()),
    ]
    if tensors:
        fields.append((HEADER_LENGTH, str(length)))
    return fields, (*document, *tensors)


class InferPath:
    """A WSGI application that answers requests for inference, and leaves the others to ``app``."""

    def __init__(self, infer: InferRest, app: "WSGIApplication") -> None:
        self._infer = infer
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        found = INFER(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if found is None:
            return self._app(environ, start_response)
        context: RequestContext = environ[CONTEXT]
        context.route = ROUTE if found[2] is None else VERSIONED
        name, version = _text(found[1]), found[2] and _text(found[2])
        status = "200 OK"
        try:
            fields, parts = self._infer.answer(environ, name, version, context)
        except ServingError as error:
            status, fields, body = of_serving_error(error, environ["PATH_INFO"])
            parts = (body,)
        start_response(status, fields)
        return parts


def blueprint(client: EngineClient, service: InferService, infer: InferRest) -> Blueprint:
    """Return the routes below /v2, but for those to the repository."""
    routes = Blueprint("oip", __name__, url_prefix="/v2")
    any_model, version_of = "/models/<name>", "/models/<name>/versions/<version>"

    @routes.get("")
    @routes.get("/")
    def server() -> Response:
        return jsonify(documents.server_metadata())

    @routes.get("/health/live")
    def live() -> Response:
        """Say that this HTTP worker runs."""
        return jsonify(live=True)

    @routes.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Say whether an engine answers. The status counts: clients do not look at the body."""
        return jsonify(ready=client.ready), 200 if client.ready else 503

    @routes.get("/models")
    def models() -> Response:
        served = {x.name for x in client.catalog.entries.values() if x.manifest}
        return jsonify(models=sorted(served))

    @routes.get("/models/stats")
    def all_statistics() -> Response:
        return jsonify(service.statistics())

    @routes.get(any_model)
    @routes.get(version_of)
    def metadata(name: str, version: str | None = None) -> Response:
        return jsonify(service.metadata(name, version))

    @routes.get(f"{any_model}/ready")
    @routes.get(f"{version_of}/ready")
    def model_ready(name: str, version: str | None = None) -> tuple[Response, int]:
        client.find(name, version)
        if client.ready:
            return jsonify(name=name, ready=True), 200
        return jsonify(name=name, ready=False, error="no engine answers yet"), 503

    @routes.get(f"{any_model}/config")
    @routes.get(f"{version_of}/config")
    def config(name: str, version: str | None = None) -> Response:
        return jsonify(service.config(name, version))

    @routes.get(f"{any_model}/stats")
    @routes.get(f"{version_of}/stats")
    def statistics(name: str, version: str | None = None) -> Response:
        return jsonify(service.statistics(name, version))

    @routes.post(f"{any_model}/infer")
    @routes.post(f"{version_of}/infer")
    def infer_unseen(name: str, version: str | None = None) -> Response:
        """Answer those that ``InferPath`` did not see."""
        fields, parts = infer.answer(request.environ, name, version, request.environ[CONTEXT])
        return Response(b"".join(parts), headers=fields)

    return routes


def _text(part: str) -> str:
    """Return a part of a path as it was meant: a WSGI environment has it as Latin-1."""
    return part.encode("latin-1").decode(errors="replace")
