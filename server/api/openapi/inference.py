"""What is told of the Open Inference Protocol v2, and of its calls to the repository."""

from math import sin

from server.api.oip import OCTETS
from server.api.oip_classes import CLASS, DTYPES
from server.api.oip_tensors import FP32, IMAGES, IMAGES_FLOAT, LATENTS, UINT8
from server.api.openapi.fields import TERMS
from server.api.openapi.images import DRAWN, FLOAT32
from server.api.openapi.operation import (
    DRAWS,
    FINDS,
    NEVER,
    Answer,
    Errors,
    Facts,
    Json,
    Operation,
    Operations,
    json_of,
)
from server.errors import (
    EngineUnavailable,
    LoadFailed,
    ModelNotFound,
    NotOffered,
    UnsupportedMedia,
)

TAG = "inference", "The Open Inference Protocol v2 with Triton's extensions."
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer", "minimum": 0}
TEXTS: Json = {"type": "array", "items": TEXT}
SIZES: Json = {"type": "array", "items": {"type": "integer"}}


def operations(facts: Facts) -> Operations:
    """Return what is told of the routes below /v2."""
    state = {
        200: Answer("It is so.", json_of("State")),
        503: Answer("No engine answers.", json_of("State")),
    }
    told = {
        "oip.server": _told("What the server is", "ServerMetadata"),
        "oip.live": _told("Whether the HTTP worker runs", "State"),
        "oip.ready": Operation(TAG[0], "Whether an engine answers", state),
        "oip.models": _told("The names of the models that are served", "ModelNames"),
        "oip.all_statistics": _told("What all models have done", "Statistics"),
        "oip.metadata": _told("The tensors of a model", "ModelMetadata", FINDS),
        "oip.model_ready": Operation(TAG[0], "Whether a model is served", state, FINDS),
        "oip.config": _told("The configuration of a model", "ModelConfig", FINDS),
        "oip.statistics": _told("What a model has done", "Statistics", FINDS),
        "oip.infer_unseen": _infer(facts),
        "repository.index": Operation(
            TAG[0],
            "Every version of every model, and its state",
            {200: Answer("The versions.", json_of("RepositoryIndex"))},
            (UnsupportedMedia,),
            body=json_of("IndexWish", {"ready": True}),
            needs_body=False,
        ),
        "repository.administer": Operation(
            TAG[0],
            "Load or unload a model: its newest version, or a certain one",
            {200: Answer("It is done.", json_of({"type": "object", "maxProperties": 0}))},
            (ModelNotFound, LoadFailed, EngineUnavailable, UnsupportedMedia),
            body=json_of("VersionWish", {"parameters": {"version": facts.manifest.version}}),
            needs_body=False,
            for_administrators=True,
        ),
    }  # fmt: skip
    return {(endpoint, None): operation for endpoint, operation in told.items()}


def schemas(facts: Facts) -> dict[str, Json]:
    """Return the schemas of the protocol's documents."""
    tensor = _object({"name": TEXT, "datatype": {"enum": [FP32, UINT8]}, "shape": SIZES})
    configured = _object({"name": TEXT, "data_type": TEXT, "dims": SIZES})
    duration = _object({"count": WHOLE, "ns": WHOLE})
    steps = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    return {
        "State": _object({"name": TEXT, "live": {"type": "boolean"}, "ready": {"type": "boolean"}},
                         needs=()),
        "ServerMetadata": _object({"name": TEXT, "version": TEXT, "extensions": TEXTS}),
        "ModelNames": _object({"models": TEXTS}),
        "ModelMetadata": _object({
            "name": TEXT, "versions": TEXTS, "platform": TEXT,
            "inputs": _list(tensor), "outputs": _list(tensor),
        }),
        "ModelConfig": _object({
            "name": TEXT, "platform": TEXT, "backend": TEXT,
            "max_batch_size": {"type": "integer", "minimum": 1},
            "input": _list(configured), "output": _list(configured),
        }),
        "Statistics": _object({"model_stats": _list(_object({
            "name": TEXT, "version": TEXT, "last_inference": WHOLE,
            "inference_count": WHOLE, "execution_count": WHOLE,
            "inference_stats": _object(dict.fromkeys(steps, duration)),
        }))}),
        "RepositoryIndex": _list(
            _object({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT})
        ),
        "IndexWish": {
            "type": ["object", "null"],
            "properties": {
                "ready": {"type": "boolean", "description": "Leave out what is not served."},
            },
        },
        "VersionWish": {
            "type": ["object", "null"],
            "properties": {"parameters": {
                "type": "object",
                "properties": {
                    "version": {"type": "string", "pattern": "^([1-9][0-9]{0,17})?$"},
                    "config": NEVER,
                },
            }},
        },
        "InferRequest": _infer_request(facts),
        "InferAnswer": _infer_answer(),
    }  # fmt: skip


def _told(summary: str, schema: str, errors: Errors = ()) -> Operation:
    return Operation(TAG[0], summary, {200: Answer(f"{summary}.", json_of(schema))}, errors)


def _infer(facts: Facts) -> Operation:
    width = facts.manifest.latents.dim
    tensor = {"name": LATENTS, "datatype": FP32, "shape": [1, width]}
    row = [round(2 * sin(i), 4) for i in range(width)]
    images = {**json_of("InferAnswer"), OCTETS: {}}
    return Operation(
        TAG[0],
        "The images of latents",
        {200: Answer("The images.", images, (*DRAWN, "Inference-Header-Content-Length"))},
        (*DRAWS, UnsupportedMedia, NotOffered),
        description=(
            "A body is JSON. Tensors may lie behind it as bytes, float32 and little-endian, where "
            "`Inference-Header-Content-Length` says how long the JSON is; a body of type "
            f"`{OCTETS}` without JSON is the latents alone. Images come as bytes where "
            "`binary_data` or `binary_data_output` asks for that."
        ),
        parameters=("Inference-Header-Content-Length", *TERMS),
        body={
            **json_of("InferRequest", {"inputs": [tensor | {"data": row}]}),
            OCTETS: {"schema": {"type": "string", "format": "binary"}},
        },
    )


def _infer_request(facts: Facts) -> Json:
    width = facts.manifest.latents.dim
    parameters: Json = {"type": ["object", "null"]}
    row = {"type": "array", "items": FLOAT32, "minItems": width, "maxItems": width}
    latents: Json = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": LATENTS},
            "datatype": {"const": FP32},
            "shape": {
                "description": f"[n, {width}]",
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 2,
                "maxItems": 2,
            },
            "parameters": parameters,
            "data": {
                "description": "The numbers, nested as the shape or flat.",
                "type": "array",
                "items": {"anyOf": [FLOAT32, row]},
            },
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": [IMAGES, IMAGES_FLOAT]}, "parameters": parameters},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": parameters,
            "inputs": {
                "type": "array",
                "items": {"anyOf": [latents, _class()]} if facts.manifest.classes else latents,
                "minItems": 1,
                "maxItems": 2 if facts.manifest.classes else 1,
            },
            "outputs": {"type": ["array", "null"], "items": output},
        },
    }


def _class() -> Json:
    """Return the schema of the tensor with a class for each row."""
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": CLASS},
            "datatype": {"enum": list(DTYPES)},
            "shape": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "[n, 1] or [n]",
            },
            "parameters": {"type": ["object", "null"]},
            "data": {"type": "array", "items": {"type": ["integer", "array"]}},
        },
    }


def _infer_answer() -> Json:
    image = {
        "name": {"enum": [IMAGES, IMAGES_FLOAT]},
        "datatype": {"enum": [UINT8, FP32]},
        "shape": SIZES,
        "data": {"type": "array", "items": {"type": "number"}},
    }
    properties: Json = {"model_name": TEXT, "model_version": TEXT, "outputs": _list(_object(image))}
    whole = _object(properties)
    return whole | {"properties": {**properties, "id": TEXT}}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _object(properties: Json, needs: tuple[str, ...] | None = None) -> Json:
    """Return the schema of an object that has all ``properties``, or those that it ``needs``."""
    required = list(properties if needs is None else needs)
    return {"type": "object", "properties": properties, "required": required}
