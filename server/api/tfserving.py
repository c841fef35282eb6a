"""TensorFlow Serving's REST interface: what is served, its signature, and ``predict``.

Predictions are float images, as the SavedModel gives them, which another graph of the bundle draws
than the served one. Source: TensorFlow Serving's documentation of its RESTful API.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flask import Blueprint, Response, jsonify, request
from numpy.typing import NDArray
from werkzeug.routing import BaseConverter

from server.api.body import read_beside_others
from server.api.context import CONTEXT, RequestContext
from server.api.generate import EncodedAnswer, ImageService
from server.api.oip_classes import CLASS
from server.api.oip_infer import parsed
from server.api.oip_service import InferService, manifest_of
from server.api.oip_tensors import FLOAT_ROWS, IMAGES_FLOAT, LATENTS, LatentsShape
from server.api.tfserving_inputs import read_tensors
from server.bundle.classes import NamedEach
from server.errors import InvalidRequest, ModelNotFound
from server.ipc.catalog import LOADING, READY, Catalog, Entry
from server.ipc.sources import Latents
from server.worker.engine_client import EngineClient

SIGNATURE = "serving_default"
METHOD = "tensorflow/serving/predict"
STATES = {READY: "AVAILABLE", LOADING: "LOADING"}
"""The states of what is served, as TensorFlow Serving calls them; anything else has ended."""
NEWEST = "0"
"""The version by which clients mean the newest one."""

Document = dict[str, Any]


class PathName(BaseConverter):
    """A name in a path, as far as the colon before a verb."""

    regex = "[^/:]+"


def blueprint(client: EngineClient, service: InferService, most_bytes: int) -> Blueprint:
    """Return the routes below /v1/models, but for those to images.

    The application knows ``PathName`` as ``path_name``.
    """
    routes = Blueprint("tfserving", __name__, url_prefix="/v1/models")

    def route(suffix: str, methods: list[str]) -> Callable[[Any], Any]:
        """Return what registers a view for a model, for a version of it and for a label."""

        def register(view: Any) -> Any:
            for kind in ("", "/versions/<path_name:version>", "/labels/<path_name:label>"):
                rule = f"/<path_name:name>{kind}{suffix}"
                routes.add_url_rule(rule, view_func=view, methods=methods)
            return view

        return register

    @route("", ["GET"])
    def status(name: str, version: str | None = None, label: str | None = None) -> Response:
        wanted = _version(client.catalog, name, version, label)
        return jsonify(_status(client.catalog, name, wanted))

    @route("/metadata", ["GET"])
    def metadata(name: str, version: str | None = None, label: str | None = None) -> Response:
        return jsonify(_metadata(client.find(name, _version(client.catalog, name, version, label))))

    images = ImageService(client, "tfserving", (FLOAT_ROWS,))

    @route(":predict", ["POST"])
    def predict(name: str, version: str | None = None, label: str | None = None) -> Response:
        wanted = _version(client.catalog, name, version, label)
        entry = client.find(name, wanted)
        body = read_beside_others(request.environ, most_bytes, client.loop)
        asked = read_predict(body, service.takes_for_floats(entry))
        context: RequestContext = request.environ[CONTEXT]
        source = Latents(asked.latents)
        terms = context.terms()
        encoded = images.answer(source, terms, FLOAT_ROWS, name, wanted, asked.classes)
        context.timings = encoded.timings
        return _predicted(asked, encoded)

    return routes


class Predict(NamedTuple):
    """What the body of a ``predict`` asks for."""

    latents: NDArray[np.float32]
    """float32 [n, latent_dim]."""
    classes: NamedEach | None
    """The class of each image; None leaves each to its row."""
    member: str
    """The member of the answer that holds the images: of rows predictions, of a column outputs."""


def _predicted(asked: Predict, encoded: EncodedAnswer) -> Response:
    """Return the answer, whose images are nested lists: the model has one output."""
    fields = {
        "Carfront-Model": encoded.model,
        "Carfront-Plan": encoded.plan,
        "Server-Timing": encoded.timings.in_header(),
    }
    parts = [b'{"%s":' % asked.member.encode(), encoded.body, b"}"]
    return Response(parts, headers=fields, mimetype=FLOAT_ROWS.mimetype)


def read_predict(body: bytes, shape: LatentsShape) -> Predict:
    """Return what the body of a ``predict`` asks for, see ``read_tensors``.

    Raises:
        InvalidRequest: the body is no such JSON.
    """
    document = parsed(body)
    if ("instances" in document) == ("inputs" in document):
        raise InvalidRequest("body", document, "a JSON object with either instances or inputs")
    signature = document.get("signature_name")
    if signature not in (SIGNATURE, "", None):
        raise InvalidRequest("signature_name", signature, SIGNATURE)
    member = "predictions" if "instances" in document else "outputs"
    return Predict(*read_tensors(document, shape), member)


def _version(catalog: Catalog, name: str, version: str | None, label: str | None) -> str | None:
    """Return the version that a path names, None for the newest.

    Raises:
        ModelNotFound: it is no version, or the path has a label: no version has one.
    """
    if label is not None or (version is not None and not re.fullmatch("[0-9]{1,18}", version)):
        raise ModelNotFound(f"{name}/{label or version}", _served(catalog))
    return None if version == NEWEST else version


def _status(catalog: Catalog, name: str, version: str | None) -> Document:
    """Return the state of a model's versions, the newest first, or of that version.

    Raises:
        ModelNotFound: there is none.
    """
    entries = [x for x in catalog.entries.values() if x.name == name]
    wanted = [x for x in entries if version in (None, x.version)]
    if not wanted:
        raise ModelNotFound(f"{name}/{version}" if version else name, _served(catalog))
    wanted.sort(key=lambda x: int(x.version), reverse=True)
    states = [
        {
            "version": entry.version,
            "state": STATES.get(entry.state, "END"),
            "status": {"error_code": "OK", "error_message": ""},
        }
        for entry in wanted
    ]
    is_ready = any(entry.state == READY for entry in wanted)  # for KServe's client
    return {"model_version_status": states, "ready": is_ready}


def _served(catalog: Catalog) -> list[str]:
    return [str(x) for x in catalog.entries.values() if x.state == READY]


def _metadata(entry: Entry) -> Document:
    """Return the signature of a model."""
    manifest = manifest_of(entry)
    inputs = {LATENTS: _tensor(LATENTS, [manifest.latents.dim])}
    if manifest.classes:
        inputs[CLASS] = _tensor(CLASS, [1], "DT_INT64")
    signature = {
        "inputs": inputs,
        "outputs": {IMAGES_FLOAT: _tensor(IMAGES_FLOAT, manifest.image.shape)},
        "method_name": METHOD,
    }
    return {
        "model_spec": {"name": entry.name, "signature_name": "", "version": entry.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(name: str, sizes: list[int], dtype: str = "DT_FLOAT") -> Document:
    """Return what a signature says of a tensor of any number of rows."""
    dims = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    return {
        "dtype": dtype,
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": f"{SIGNATURE}_{name}:0",
    }
