"""Liveness, readiness and metrics, for probes and Prometheus."""

from pathlib import Path

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from server.observability import metrics
from server.worker.engine_client import EngineClient


def blueprint(client: EngineClient, processes: Path | None) -> Blueprint:
    """Return the routes /healthz, /readyz and /metrics.

    The metrics include those of the processes that entered the folder ``processes``.
    """
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Say that this HTTP worker runs; of the engine this says nothing: gunicorn restarts it."""
        return jsonify(live=True)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """Say whether an engine answers, whose model is loaded and passed its self-test.

        One engine is enough: the others' requests go to it. An answer tells too of engines that are
        missing, of a plan that is not the wanted one, and of what the engines wait for.
        """
        entry = client.catalog.entries.get(client.catalog.default)
        fallback = {}
        if entry and entry.instead_of:
            fallback = {"fallback": {"wanted": entry.instead_of, "got": entry.plan}}
        up = client.engines
        missing = {"engines": {"up": sum(up), "of": len(up)}} if sum(up) < len(up) > 1 else {}
        if any(up):
            return jsonify(ready=True, **missing, **fallback), 200
        reason = {"reason": reason} if (reason := client.waits_for()) else {}
        return jsonify(ready=False, **missing, **fallback, **reason), 503

    @routes.get("/metrics")
    def exposition() -> Response:
        text = metrics.exposition(client.engines, processes)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return routes
