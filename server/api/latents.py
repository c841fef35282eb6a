"""Latents that a URL names: those of a seed, and the directions to move latents along.

Whoever wants a changed image of a seed adds directions to the seed's latents, and has the sum drawn
by ``POST /v1/images``.
"""

from dataclasses import asdict

from flask import Blueprint, Response, jsonify, request

from server.api.caching import UNVERSIONED
from server.api.image_urls import BASES
from server.api.query import parse_seed
from server.bundle.latents import latents
from server.bundle.manifest import Manifest
from server.errors import InvalidRequest
from server.worker.engine_client import EngineClient


def blueprint(client: EngineClient) -> Blueprint:
    """Return the routes to latents and directions."""
    routes = Blueprint("latents", __name__)

    def of_seed(seed: str, name: str | None = None, version: str | None = None) -> Response:
        facts = _manifest(client, name, version).latents
        rows = latents([parse_seed(seed)], facts.dim, facts.distribution)
        return _answer(latents=rows.tolist())

    def directions(name: str | None = None, version: str | None = None) -> Response:
        manifest = _manifest(client, name, version)
        return _answer(directions=[asdict(each) for each in manifest.directions])

    for base in BASES:
        routes.add_url_rule(f"{base}/latents/<seed>", view_func=of_seed)
        routes.add_url_rule(f"{base}/directions", view_func=directions)
    return routes


def _manifest(client: EngineClient, name: str | None, version: str | None) -> Manifest:
    if request.query_string:
        raise InvalidRequest("query", request.query_string.decode("latin-1"), "none")
    manifest = client.catalog.find(name, version).manifest
    assert manifest is not None  # find has seen to it
    return manifest


def _answer(**facts: object) -> Response:
    """Return ``facts``, which may be others in a minute: people give directions names."""
    response = jsonify(facts)
    response.headers["Cache-Control"] = UNVERSIONED[1]
    return response
