"""What the server is, in JSON: for programs, and for the page that people see."""

from typing import Any

from flask import Blueprint, Response, jsonify

from server.bundle.manifest import Manifest
from server.worker.engine_client import EngineClient


def blueprint(client: EngineClient, has_metrics: bool) -> Blueprint:
    """Return the route /; browsers are answered before it, see ``page_files``.

    ``has_metrics`` tells whether the metrics are to be had at the same port.
    """
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    def front() -> Response:
        manifest = client.catalog.find().manifest
        assert manifest is not None  # find has seen to it
        response = jsonify(_facts(manifest, has_metrics))
        response.headers["Vary"] = "Accept"
        return response

    return routes


def _facts(manifest: Manifest, has_metrics: bool) -> dict[str, Any]:
    return {
        "name": "carfront",
        "status": "alive",  # for KServe's client
        "what": "draws cars that do not exist; an image's name is its seed",
        "model": manifest.name,
        "version": manifest.version,
        "image": {
            "shape": manifest.image.shape,
            "dtype": manifest.image.dtype,
            "colors": manifest.image.colors,
        },
        "latents": {"dim": manifest.latents.dim, "distribution": manifest.latents.distribution},
        **({"classes": manifest.classes} if manifest.classes else {}),
        "try": [
            "GET /v1/images/{seed}.png",
            "GET /v1/images/{seed}.jpg?scale=8",
            "GET /v1/grid.webp?seed=7&rows=4&cols=6",
            "GET /v1/morph.webp?from=7&to=8",
            *(["GET /v1/images/{seed}.png?class={class}"] if manifest.classes else []),
            "GET /v1/models/{model}/versions/{version}/images/{seed}.png",
            "GET /v1/latents/{seed}",
            "GET /v1/directions",
            "POST /v1/images",
            *(["POST /v1/restore"] if manifest.has_gradient else []),
            "GET /v2",
            "POST /v2/models/{model}/infer",
            "POST /v2/repository/index",
            "GET /readyz",
            "GET /docs",
            "GET /openapi.json",
            *(["GET /metrics"] if has_metrics else []),
        ],
    }
