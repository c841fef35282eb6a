"""The routes to the document of the HTTP interface, and to its page."""

from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from flask.sansio.blueprints import BlueprintSetupState

from server.api.oip_service import manifest_of
from server.api.openapi.document import document
from server.api.openapi.operation import Facts, Json
from server.api.openapi.page import FILTERS, chapters_of
from server.api.outer_address import FIELDS, address_of
from server.worker.engine_client import EngineClient

STYLE = Path(__file__).parents[2] / "page" / "docs.css"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a browser may load for the page: its style sheet alone."""


def blueprint(client: EngineClient, has_keys: bool, most_images: int) -> Blueprint:
    """Return the routes /openapi.json, /docs and /docs.css.

    The document is made when it is first asked for, and again for another default bundle.
    """
    routes = Blueprint("openapi", __name__)

    @routes.record_once
    def add_filters(state: BlueprintSetupState) -> None:
        state.app.jinja_env.filters.update(FILTERS)

    @lru_cache(maxsize=1)
    def made(key: int) -> Json:
        """Return the document for the bundle of ``key``, the default one."""
        entry = next(x for x in client.catalog.entries.values() if x.key == key)
        return document(current_app.url_map, Facts(manifest_of(entry), has_keys, most_images))

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(made(client.catalog.find().key))

    @routes.get("/docs")
    def docs() -> Response:
        told = made(client.catalog.find().key)
        chapters = chapters_of(told, address_of(request.environ))
        page = render_template("docs.html", told=told, chapters=chapters)
        fields = {
            "Content-Security-Policy": POLICY,
            "Vary": FIELDS,
            "X-Content-Type-Options": "nosniff",
        }
        return Response(page, mimetype="text/html", headers=fields)

    @routes.get("/docs.css")
    def style() -> Response:
        return Response(STYLE.read_bytes(), mimetype="text/css")

    return routes
