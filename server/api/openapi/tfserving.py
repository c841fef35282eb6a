"""What is told of TensorFlow Serving's REST interface."""

from math import sin

from server.api.oip_classes import CLASS
from server.api.oip_tensors import LATENTS
from server.api.openapi.images import FLOAT32
from server.api.openapi.operation import (
    DRAWS,
    FINDS,
    NEVER,
    Answer,
    Facts,
    Json,
    Operation,
    Operations,
    json_of,
)
from server.api.tfserving import SIGNATURE
from server.errors import NotOffered, UnsupportedMedia

TAG = "tensorflow serving", "The REST interface of TensorFlow Serving."


def operations(facts: Facts) -> Operations:
    """Return what is told of the routes below /v1/models, but for those to images."""
    row = [round(2 * sin(i), 4) for i in range(facts.manifest.latents.dim)]
    return {
        ("tfserving.status", None): Operation(
            TAG[0],
            "The state of a model's versions",
            {200: Answer("The states, the newest first.", json_of("ModelStatus"))},
            FINDS,
        ),
        ("tfserving.metadata", None): Operation(
            TAG[0],
            "The signature of a model",
            {200: Answer("The signature.", json_of("ModelSignature"))},
            FINDS,
        ),
        ("tfserving.predict", None): Operation(
            TAG[0],
            "The images of latents as the SavedModel gives them, in [-1, 1]",
            {200: Answer("The images.", json_of("Predictions"))},
            (*DRAWS, NotOffered, UnsupportedMedia),
            body=json_of("PredictRequest", {"instances": [row]}),
        ),
    }


def schemas(facts: Facts) -> dict[str, Json]:
    """Return the schemas of the interface's documents."""
    width = facts.manifest.latents.dim
    row: Json = {"type": "array", "items": FLOAT32, "minItems": width, "maxItems": width}
    has_classes = bool(facts.manifest.classes)
    a_class: Json = {CLASS: {"type": ["string", "integer"]}} if has_classes else {}
    classes: Json = {CLASS: {"type": "array"}} if has_classes else {}
    named: Json = {"type": "object", "required": [LATENTS], "properties": {LATENTS: row, **a_class},
                   "additionalProperties": False}  # fmt: skip
    rows: Json = {"type": "array", "items": row, "minItems": 1}
    column: Json = {"type": "object", "required": [LATENTS],
                    "properties": {LATENTS: rows, **classes},
                    "additionalProperties": False}  # fmt: skip
    values: Json = {"anyOf": [rows, column]}
    signature: Json = {"signature_name": {"enum": [SIGNATURE, "", None]}}
    instances: Json = {"type": "array", "items": {"anyOf": [row, named]}, "minItems": 1}
    state: Json = {
        "type": "object",
        "required": ["version", "state", "status"],
        "properties": {
            "version": {"type": "string"},
            "state": {"enum": ["AVAILABLE", "LOADING", "END"]},
            "status": {"type": "object"},
        },
    }
    return {
        "ModelStatus": {
            "type": "object",
            "required": ["model_version_status"],
            "properties": {
                "model_version_status": {"type": "array", "items": state, "minItems": 1},
                "ready": {"type": "boolean"},
            },
        },
        "ModelSignature": {
            "type": "object",
            "required": ["model_spec", "metadata"],
            "properties": {"model_spec": {"type": "object"}, "metadata": {"type": "object"}},
        },
        "PredictRequest": {
            "description": "Rows, or a column of rows.",
            "oneOf": [
                {"type": "object", "required": ["instances"],
                 "properties": {**signature, "instances": instances, "inputs": NEVER}},
                {"type": "object", "required": ["inputs"],
                 "properties": {**signature, "inputs": values, "instances": NEVER}},
            ],
        },
        "Predictions": {
            "type": "object",
            "properties": {"predictions": {"type": "array"}, "outputs": {"type": "array"}},
            "minProperties": 1,
        },
    }  # fmt: skip
