"""What is told of our own interface: images, grids, and many images at a time."""

from math import sin

from server.api.image_request import MEMBERS
from server.api.image_urls import OF_GRIDS
from server.api.morph import FORMATS_OF_MORPHS
from server.api.openapi.fields import (
    A_CLASS,
    A_FILTER,
    A_FORMAT,
    A_SCALE,
    A_TRUNCATION,
    FILTER,
    FORMAT,
    MODEL,
    SCALE,
    SEED,
    TERMS,
    TRUNCATION,
    VERSION,
)
from server.api.openapi.operation import DRAWS, Answer, Facts, Json, Operation, Operations
from server.api.query import OF_FILE, OF_GRID, OF_IMAGE, OF_MORPH
from server.codecs.formats import BY_SUFFIX, FORMATS
from server.errors import UnknownSuffix, UnsupportedFormat, UnsupportedMedia

TAG = "images", "Our own interface: images, grids, and many images at a time."
DRAWN = ("Carfront-Model", "Carfront-Plan", "Server-Timing")
"""The header fields of every answer with images."""
CACHED = ("ETag", "Cache-Control")
"""The header fields of images that a URL names."""
FLOAT32 = {"type": "number", "minimum": -3.4028234663852886e38, "maximum": 3.4028234663852886e38}


def operations(facts: Facts) -> Operations:
    """Return what is told of the routes to images."""
    told: dict[tuple[str, str | None], Operation] = {("images.images", None): _many(facts)}
    for suffix in (None, *BY_SUFFIX):
        told["image_urls.image", suffix] = _named(
            "The image of a seed", suffix, tuple(BY_SUFFIX), OF_IMAGE
        )
    for suffix in (None, *OF_GRIDS):
        summary = "The images of a seed and of those that follow, side by side"
        told["image_urls.grid", suffix] = _named(summary, suffix, OF_GRIDS, OF_GRID)
    for suffix in (None, *FORMATS_OF_MORPHS):
        summary = "The way from one seed's image to another's"
        told["morph.morph", suffix] = _named(summary, suffix, tuple(FORMATS_OF_MORPHS), OF_MORPH)
    return told


def schemas(facts: Facts) -> dict[str, Json]:
    """Return the schemas of the bodies."""
    most = facts.most_images
    members: dict[str, Json] = {
        "n": {"type": "integer", "minimum": 1, "maximum": most, "default": 1},
        "seed": {**SEED, "description": "The first seed; a random one if it is left out."},
        "seeds": {"type": "array", "items": SEED, "minItems": 1, "maxItems": most},
        "latents": {
            "description": "Rows of numbers, as many in each as the model takes.",
            "type": "array",
            "items": {"type": "array", "items": FLOAT32, "minItems": 1},
            "minItems": 1,
            "maxItems": most,
        },
        "truncation": {**TRUNCATION, "description": A_TRUNCATION},
        "class": {
            "description": f"{A_CLASS} A list has one for each image.",
            "anyOf": [
                {"type": ["string", "integer", "null"]},
                {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
            ],
        },
        "format": {**FORMAT, "description": A_FORMAT},
        "scale": {**SCALE, "description": A_SCALE},
        "filter": {**FILTER, "description": A_FILTER},
        "model": {**MODEL, "type": ["string", "null"]},
        "version": {**VERSION, "type": ["string", "null"]},
    }
    sources = {"n", "seed", "seeds", "latents", "truncation"}

    def body(told: str, *own: str, needs: str | None = None) -> Json:
        kept = [x for x in MEMBERS if x in own or x not in sources]
        return {
            "description": told,
            "type": "object",
            "properties": {name: members[name] for name in kept},
            "additionalProperties": False,
            **({"required": [needs]} if needs else {}),
        }

    return {
        "SeedRange": body(
            "The images of a seed and of those behind it.", "n", "seed", "truncation"
        ),
        "SeedList": body("The images of seeds.", "seeds", "truncation", needs="seeds"),
        "LatentRows": body("The images of latents.", "latents", needs="latents"),
        "ImagesInJson": {
            "type": "object",
            "required": ["format", "images"],
            "properties": {
                "format": {"const": "png"},
                "seeds": {
                    "type": "array",
                    "items": SEED,
                    "description": "The seed of each image; images of latents have none.",
                },
                "images": {
                    "type": "array",
                    "items": {"type": "string", "contentEncoding": "base64"},
                    "minItems": 1,
                },
            },
        },
    }


def _named(
    summary: str, suffix: str | None, offered: tuple[str, ...], query: tuple[str, ...]
) -> Operation:
    """Return what is told of images that a URL names, in the ``suffix`` or one that is offered."""
    suffixes = offered if suffix is None else (suffix,)
    forms = {x: FORMATS[name] for x, name in BY_SUFFIX.items()} | FORMATS_OF_MORPHS
    content: dict[str, Json] = {forms[x].mimetype: {} for x in suffixes}
    varies = ("Vary",) if suffix is None else ()
    form = "in the format that `Accept` prefers" if suffix is None else f"as {suffix}"
    return Operation(
        TAG[0],
        f"{summary}, {form}",
        {
            200: Answer("The images.", content, (*DRAWN, *CACHED, "Carfront-Seed", *varies)),
            304: Answer("The caller has them.", headers=(*CACHED, *varies)),
        },
        (*DRAWS, *(() if suffix else (UnsupportedFormat, UnknownSuffix))),
        parameters=(*query, *(() if suffix else ("Accept",)), "If-None-Match", *TERMS),
    )


def _many(facts: Facts) -> Operation:
    kinds: dict[str, Json] = {form.mimetype: {} for form in FORMATS.values()}
    kinds["application/json"] = {"schema": "ImagesInJson"}
    row = [round(2 * sin(i), 4) for i in range(facts.manifest.latents.dim)]
    examples = {
        "seeds that follow each other": {"seed": 7, "n": 4, "truncation": 0.7},
        "a list of seeds": {"seeds": [7, 3, 7], "format": "json"},
        "latents": {"latents": [row], "format": "npy"},
        "enlarged": {"seed": 7, "format": "jpeg", "scale": 8, "filter": "lanczos"},
        "of a certain version": {"model": facts.model, "version": facts.manifest.version},
    }
    sources = {"oneOf": ["SeedRange", "SeedList", "LatentRows"]}
    file = {"schema": {"type": "string", "format": "binary", "description": "A .npy file."}}
    return Operation(
        TAG[0],
        "Many images at a time",
        {
            200: Answer(
                "The images.", kinds, (*DRAWN, "Carfront-Seed", "Carfront-Shape", "Carfront-Dtype")
            )
        },
        (*DRAWS, UnsupportedFormat, UnsupportedMedia),
        description=(
            "Draws a range of seeds, a list of seeds, or latents. Latents may come as a .npy file "
            "too: float16, float32 or float64 [n, latent_dim]; the other members then stand in the "
            "query, which is empty beside JSON."
        ),
        parameters=(*(f"file-{name}" for name in OF_FILE), "Accept", *TERMS),
        body={
            "application/json": {
                "schema": sources,
                "examples": {name: {"value": value} for name, value in examples.items()},
            },
            "application/x-npy": file,
            "application/octet-stream": file,
        },
    )
