"""The parameters of requests and the header fields of answers, as components of the document."""

from server.api.context import LONGEST_MS, PRIORITIES
from server.api.morph import FRAME_MS, FRAMES, MOST_FRAMES, SHORTEST_MS
from server.api.morph import LONGEST_MS as SLOWEST_MS
from server.api.openapi.operation import Facts, Json
from server.api.query import OF_FILE
from server.api.sources import MAX_N
from server.bundle.latents import SEEDS
from server.bundle.manifest import NAME
from server.codecs.enlarge import FILTERS, MOST
from server.codecs.formats import ALIASES, FORMATS

SEED: Json = {"type": "integer", "minimum": 0, "maximum": SEEDS - 1}
SCALE: Json = {"type": "integer", "minimum": 1, "maximum": MOST, "default": 1}
FILTER: Json = {"type": "string", "enum": list(FILTERS), "default": "nearest"}
TRUNCATION: Json = {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1}
FORMAT: Json = {"type": "string", "enum": [*FORMATS, *ALIASES]}
MODEL: Json = {"type": "string", "pattern": f"^{NAME.pattern}$"}
VERSION: Json = {"type": "string", "pattern": "^[0-9]{1,18}$"}
A_SCALE = "How many times as high and wide the images are as the model draws them."
A_FILTER = "How the images are enlarged."
A_TRUNCATION = "The factor on the latents of seeds: the smaller, the nearer to the average image."
A_FORMAT = "The format of the answer; without it `Accept` decides."
A_CLASS = "The class of the images, by name or number, of a model with classes."


def _of(place: str, schema: Json, description: str, example: object) -> Json:
    return {"in": place, "schema": schema, "description": description, "example": example}


def _said(description: str, required: bool = False) -> Json:
    return {"schema": {"type": "string"}, "description": description, "required": required}


def of_path(facts: Facts) -> dict[str, Json]:
    """Return the parameters of paths, by their names in Flask's rules."""
    return {
        "seed": _of("path", SEED, "The name of the image.", 7),
        "name": _of("path", MODEL, "The name of a model.", facts.model),
        "version": _of(
            "path",
            VERSION,
            "The version of a model. 0 is the newest for TensorFlow Serving's clients alone.",
            facts.manifest.version,
        ),
        "label": _of("path", {"type": "string"}, "The label of a version: none has one.", "stable"),
        "action": _of("path", {"enum": ["load", "unload"]}, "What is to be done.", "load"),
    }


PARAMETERS: dict[str, Json] = {
    "scale": {"in": "query", "schema": SCALE, "description": A_SCALE, "example": 4},
    "filter": {"in": "query", "schema": FILTER, "description": A_FILTER, "example": "lanczos"},
    "truncation": {
        "in": "query", "schema": TRUNCATION, "description": A_TRUNCATION, "example": 0.7,
    },
    "class": {"in": "query", "schema": {"type": "string"}, "description": A_CLASS},
    "format": {"in": "query", "schema": FORMAT, "description": A_FORMAT, "example": "npy"},
    "model": {"in": "query", "schema": MODEL, "description": "The model that draws."},
    "version": {"in": "query", "schema": VERSION, "description": "The version that draws."},
    "seed": {
        "in": "query", "schema": {**SEED, "default": 0}, "example": 7,
        "description": "The seed of the first image.",
    },
    "rows": {
        "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": 8},
        "description": f"The rows of the grid; it has {MAX_N} images at most.", "example": 2,
    },
    "cols": {
        "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": 8},
        "description": "The images side by side.", "example": 3,
    },
    "from": {
        "in": "query", "required": True, "schema": SEED, "example": 7,
        "description": "The seed of the first image.",
    },
    "to": {
        "in": "query", "required": True, "schema": SEED, "example": 8,
        "description": "The seed of the last image.",
    },
    "frames": {
        "in": "query",
        "schema": {"type": "integer", "minimum": 2, "maximum": MOST_FRAMES, "default": FRAMES},
        "description": "The images of the way, both ends among them.", "example": 3,
    },
    "frame_ms": {
        "in": "query",
        "schema": {
            "type": "integer", "minimum": SHORTEST_MS, "maximum": SLOWEST_MS, "default": FRAME_MS,
        },
        "description": "How long an animation shows each frame, in milliseconds.", "example": 100,
    },
    "Accept": {
        "in": "header", "schema": {"type": "string"}, "example": "image/webp",
        "description": "The formats that are welcome, where nothing else names one.",
    },
    "If-None-Match": {
        "in": "header", "schema": {"type": "string"},
        "description": "Entity tags of what the caller has: 304 if one of them is right.",
    },
    "X-Request-Timeout-Ms": {
        "in": "header", "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_MS},
        "description": "How long the caller waits, in milliseconds.", "example": 20_000,
    },
    "Carfront-Priority": {
        "in": "header", "schema": {"enum": list(PRIORITIES), "default": "interactive"},
        "description": "`bulk` lets others go first.", "example": "interactive",
    },
    "Inference-Header-Content-Length": {
        "in": "header", "schema": {"type": "integer", "minimum": 0},
        "description": "How many bytes of the body are JSON; the tensors follow as bytes.",
    },
}  # fmt: skip
"""The parameters besides those of paths, by their names."""
PARAMETERS |= {
    f"file-{name}": {
        "name": name, "in": "query", "schema": PARAMETERS[name]["schema"],
        "description": f"{PARAMETERS[name]['description']} Beside a file of latents alone.",
    }
    for name in OF_FILE
}  # fmt: skip

TERMS = ("X-Request-Timeout-Ms", "Carfront-Priority")
"""The parameters of every request for images."""

HEADERS: dict[str, Json] = {
    "X-Request-Id": _said("The request's name: the caller's, or one that the server made.", True),
    "Carfront-Model": _said("The model and version that drew, as name/version."),
    "Carfront-Plan": _said("The provider and precision that drew, such as openvino/bf16."),
    "Carfront-Seed": _said("The seed of the first image."),
    "Carfront-Shape": _said("The sizes of the array, with commas between, where `format` is raw."),
    "Carfront-Dtype": _said("The type of the array's values, where `format` is raw."),
    "Server-Timing": _said("The milliseconds of queue, inference and encoding."),
    "ETag": _said("Names the bundle, the plan, the seeds and all parameters."),
    "Cache-Control": _said("How long caches may keep the answer."),
    "Vary": _said("The request's field that decided about the format."),
    "Retry-After": _said("The seconds after which it is worth to ask again."),
    "WWW-Authenticate": _said("How a key, or the administrator's token, is sent."),
    "Inference-Header-Content-Length": _said("How many bytes of the body are JSON."),
    "RateLimit": _said("What the key has left of its limits, where it has some."),
    "RateLimit-Policy": _said("The key's limits, where it has some."),
}
"""The header fields of answers, by their names."""
