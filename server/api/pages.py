"""The front page: what this is, with cars drawn as the page loads."""

from flask import Blueprint, Response, jsonify, render_template, request

from server.bundle import Manifest

SHOWN = 60
"""Cars on the page: whole rows of 3, 4, 5, 6 or 10."""


def blueprint(manifest: Manifest) -> Blueprint:
    """Return the route /: a page for people, JSON for programs."""
    routes = Blueprint("pages", __name__)
    facts = {
        "name": "carfront",
        "what": "draws cars that do not exist; an image's name is its seed",
        "model": manifest.name,
        "version": manifest.version,
        "image": {"shape": manifest.image.shape, "dtype": manifest.image.dtype},
        "try": ["GET /v1/images/{seed}.png", "POST /v1/images", "GET /readyz", "GET /metrics"],
    }

    @routes.get("/")
    def front() -> Response:
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
            return jsonify(facts)
        page = render_template("index.html", manifest=manifest, seeds=range(SHOWN))
        return Response(page, mimetype="text/html")

    return routes
