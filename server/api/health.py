"""For those who watch: liveness, readiness, metrics."""

from pathlib import Path

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from server.observability import metrics
from server.worker.engine_client import EngineClient


def blueprint(client: EngineClient, processes: Path | None) -> Blueprint:
    """Return the routes /healthz, /readyz and /metrics, with what ``processes`` tells."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """This HTTP worker runs; it says nothing of the engine, which gunicorn restarts itself."""
        return jsonify(live=True)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """The model is loaded, warm, passed its self-test, and answers; perhaps not as wanted.

        One engine is enough: the others' requests go to it.
        """
        entry = client.catalog.entries.get(client.catalog.default)
        fallback = {}
        if entry and entry.instead_of:
            fallback = {"fallback": {"wanted": entry.instead_of, "got": entry.plan}}
        up = client.engines
        missing = {"engines": {"up": sum(up), "of": len(up)}} if sum(up) < len(up) > 1 else {}
        return jsonify(ready=any(up), **missing, **fallback), 200 if any(up) else 503

    @routes.get("/metrics")
    def exposition() -> Response:
        text = metrics.exposition(client.engines, processes)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return routes
