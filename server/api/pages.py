"""The front page: what the server is, with cars drawn as the page loads."""

from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request

from server.bundle.manifest import Manifest
from server.worker.engine_client import EngineClient

SHOWN = 60
"""How many cars the page shows: whole rows of 3, 4, 5, 6 or 10."""


def blueprint(client: EngineClient) -> Blueprint:
    """Return the route /: a page for people, JSON for programs."""
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    def front() -> Response:
        manifest = client.catalog.find().manifest
        assert manifest is not None  # find has seen to it
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
            return jsonify(_facts(manifest))
        page = render_template("index.html", manifest=manifest, seeds=range(SHOWN))
        return Response(page, mimetype="text/html")

    return routes


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": "carfront",
        "what": "draws cars that do not exist; an image's name is its seed",
        "model": manifest.name,
        "version": manifest.version,
        "image": {"shape": manifest.image.shape, "dtype": manifest.image.dtype},
        "try": [
            "GET /v1/images/{seed}.png",
            "GET /v1/models/{model}/versions/{version}/images/{seed}.png",
            "POST /v1/images",
            "POST /v2/repository/index",
            "GET /readyz",
            "GET /metrics",
        ],
    }
