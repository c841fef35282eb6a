"""Liveness, readiness and metrics, for probes and Prometheus."""

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Response, jsonify, request

from server.observability.exposition import Exposition
from server.worker.engine_client import EngineClient


def blueprint(client: EngineClient) -> Blueprint:
    """Return the routes /healthz and /readyz."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Say that this HTTP worker runs; of the engine this says nothing: gunicorn restarts it."""
        return jsonify(live=True)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """Say whether an engine answers, whose model is loaded and passed its self-test.

        One engine is enough: the others' requests go to it. An answer tells too of the plan that
        draws, or the plans if the engines differ, of engines that are missing, of a plan that is
        not the wanted one, and of what the engines wait for.
        """
        entry = client.catalog.entries.get(client.catalog.default)
        fallback = {}
        if entry and entry.instead_of:
            fallback = {"fallback": {"wanted": entry.instead_of, "got": entry.plan}}
        up = client.engines
        plan = {"plan": ", ".join(plans)} if (plans := client.plans) else {}
        missing = {"engines": {"up": sum(up), "of": len(up)}} if sum(up) < len(up) > 1 else {}
        if any(up):
            return jsonify(ready=True, **plan, **missing, **fallback), 200
        reason = {"reason": reason} if (reason := client.waits_for()) else {}
        return jsonify(ready=False, **missing, **fallback, **reason), 503

    return routes


def metrics_blueprint(
    client: EngineClient, routes: Iterable[str], processes: Path | None
) -> Blueprint:
    """Return the route /metrics.

    ``routes`` are those of the application, and ``processes`` is the folder that processes enter.
    """
    blueprint = Blueprint("metrics", __name__)
    exposition = Exposition(routes, processes)

    @blueprint.get("/metrics")
    def tell() -> Response:
        """Tell the metrics of all processes, as OpenMetrics where the caller prefers that."""
        entries = client.catalog.entries.values()
        served = [(entry.name, entry.version) for entry in entries if entry.manifest]
        text, kind = exposition.text(client.engines, served, request.headers.get("Accept"))
        return Response(text, content_type=kind, headers={"Vary": "Accept"})

    return blueprint
