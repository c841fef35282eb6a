"""For those who watch: liveness, readiness, metrics."""

from pathlib import Path

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from server import metrics
from server.engine.client import EngineClient


def blueprint(client: EngineClient, processes: Path | None) -> Blueprint:
    """Return the routes /healthz, /readyz and /metrics, with what ``processes`` tells."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """This HTTP worker runs; it says nothing of the engine, which gunicorn restarts itself."""
        return jsonify(live=True)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """The model is loaded, warm, passed its self-test, and answers; perhaps not as wanted."""
        entry = client.catalog.entries.get(client.catalog.default)
        fallback = {}
        if entry and entry.instead_of:
            fallback = {"fallback": {"wanted": entry.instead_of, "got": entry.plan}}
        return jsonify(ready=client.ready, **fallback), 200 if client.ready else 503

    @routes.get("/metrics")
    def exposition() -> Response:
        text = metrics.exposition(client.ready, processes)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return routes
