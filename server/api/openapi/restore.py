"""What is told of restorations."""

from inversion.losses import LOSSES
from inversion.photograph import FORMATS, MOST_PIXELS
from inversion.search import MOST_RESTARTS, MOST_STEPS
from server.api.openapi.fields import MODEL, SEED, TERMS, VERSION
from server.api.openapi.operation import DRAWS, Answer, Facts, Json, Operation, Operations
from server.api.restore import EVENTS, EVERY
from server.api.restore_form import DEFAULTS, FORM
from server.errors import ModelGone, NotOffered, UnsupportedMedia

TAG = "restorations", "A photograph in, a car out: what is hidden of it is filled in."
PNG: Json = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}


def operations(_: Facts) -> Operations:
    """Return what is told of the route to restorations."""
    told = (
        "Looks for the latents whose image is nearest to a photograph, which is cut to its middle "
        "square and made as small as the model's images. What is transparent, or white in the "
        "mask, counts for nothing and is filled in. The search ends with its last step, or when "
        "the request's time is up; the nearest image by then is the answer. Each step draws as "
        "many images as there are restarts, twice, as bulk work, and a key pays for them. With "
        f"`Accept: {EVENTS}` the answer is the search as it goes on: an event `step` every "
        f"{EVERY} steps, and `end` with what the JSON would be, or `error` with a problem."
    )
    answer = Answer(
        "The nearest image.",
        {"application/json": {"schema": "Restored"}, EVENTS: {}},
        ("Carfront-Model", "Server-Timing", "Cache-Control"),
    )
    return {
        ("restore.restore", None): Operation(
            TAG[0],
            "The image nearest to a photograph",
            {200: answer},
            (*DRAWS, ModelGone, NotOffered, UnsupportedMedia),
            description=told,
            parameters=("Accept", *TERMS),
            body={FORM: {"schema": "RestoreForm"}},
        )
    }


def schemas(facts: Facts) -> dict[str, Json]:
    """Return the schemas of the form and of the answer."""
    file = {"type": "string", "format": "binary"}
    dim = facts.manifest.latents.dim
    return {
        "RestoreForm": {
            "type": "object",
            "required": ["photo"],
            "additionalProperties": False,
            "properties": {
                "photo": {
                    **file,
                    "description": f"A file: {', '.join(FORMATS)}; {MOST_PIXELS:,} pixels at most.",
                },
                "mask": {**file, "description": "A file of the same size, white where to fill in."},
                "steps": _whole(MOST_STEPS, DEFAULTS.steps, "The steps of the search."),
                "restarts": _whole(
                    MOST_RESTARTS, DEFAULTS.restarts, "The latents that go downhill together."
                ),
                "loss": {"type": "string", "enum": [*LOSSES], "default": "pyramid"},
                "seed": {**SEED, "default": 0, "description": "Of the latents at the start."},
                "model": MODEL,
                "version": VERSION,
            },
        },
        "Restored": {
            "type": "object",
            "required": ["image", "filled", "latents", "distance", "step", "steps"],
            "properties": {
                "image": {**PNG, "description": "The nearest image of the model."},
                "filled": {**PNG, "description": "The photograph, filled in with that image."},
                "latents": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": dim,
                    "maxItems": dim,
                    "description": "Those of the image: `POST /v1/images` draws it again.",
                },
                "distance": {
                    "type": "number",
                    "minimum": 0,
                    "description": "How far the image is off what is seen, in grey levels.",
                },
                "step": {"type": "integer", "description": "The last step that was done."},
                "steps": {"type": "integer", "description": "The steps that were asked for."},
                "model": {"type": "string"},
                "version": {"type": "string"},
            },
        },
    }


def _whole(most: int, default: int, description: str) -> Json:
    return {
        "type": "integer",
        "minimum": 1,
        "maximum": most,
        "default": default,
        "description": description,
    }
