"""What is told of the probes, the metrics, the front page and the document itself."""

from server.api.openapi.operation import FINDS, Answer, Facts, Json, Operation, Operations, json_of

TAG = "service", "Probes, metrics, and what the server tells of itself."

PLAIN, OPENMETRICS = "text/plain", "application/openmetrics-text"
NUMBERS: Json = {"type": "array", "items": {"type": "number"}}


def operations(_: Facts) -> Operations:
    """Return what is told of the routes that draw nothing."""
    page: Json = {"text/html": {"schema": {"type": "string"}}}
    readiness = json_of("Readiness")
    told = {
        "health.healthz": Operation(
            TAG[0], "Whether the HTTP worker runs", {200: Answer("It does.", json_of("Liveness"))}
        ),
        "health.readyz": Operation(
            TAG[0],
            "Whether an engine answers, whose model drew its golden images",
            {200: Answer("One does.", readiness), 503: Answer("None does.", readiness)},
        ),
        "metrics.tell": Operation(
            TAG[0],
            "The metrics of all processes, for Prometheus",
            {
                200: Answer(
                    "The metrics, as text or in OpenMetrics.",
                    {kind: {"schema": {"type": "string"}} for kind in (PLAIN, OPENMETRICS)},
                )
            },
        ),
        "pages.front": Operation(
            TAG[0],
            "What the server is: a page for people, JSON for programs",
            {200: Answer("The page, or the facts.", page | json_of("ServerFacts"))},
            FINDS,
            parameters=("class",),
        ),
        "latents.of_seed": Operation(
            TAG[0],
            "The latents of a seed, which `POST /v1/images` draws",
            {200: Answer("The latents.", json_of("LatentsOfSeed"), ("Cache-Control",))},
            FINDS,
        ),
        "latents.directions": Operation(
            TAG[0],
            "Directions to move latents along, and what each visibly changes",
            {200: Answer("The directions.", json_of("Directions"), ("Cache-Control",))},
            FINDS,
        ),
        "openapi.openapi": Operation(
            TAG[0],
            "This document",
            {200: Answer("The document.", json_of({"type": "object"}))},
            FINDS,
        ),
        "openapi.docs": Operation(
            TAG[0],
            "This document as a page for people",
            {200: Answer("The page.", page)},
            FINDS,
        ),
        "openapi.style": Operation(
            TAG[0],
            "How that page looks",
            {200: Answer("The style sheet.", {"text/css": {"schema": {"type": "string"}}})},
        ),
    }
    return {(endpoint, None): operation for endpoint, operation in told.items()}


def schemas(_: Facts) -> dict[str, Json]:
    """Return the schemas of the documents."""
    text: Json = {"type": "string"}
    whole: Json = {"type": "integer", "minimum": 0}
    return {
        "Liveness": {
            "type": "object",
            "required": ["live"],
            "properties": {"live": {"const": True}},
        },
        "Readiness": {
            "type": "object",
            "required": ["ready"],
            "properties": {
                "ready": {"type": "boolean"},
                "plan": {**text, "description": "The plan that draws, or several with commas."},
                "reason": {**text, "description": "What the engines wait for."},
                "engines": {"type": "object", "properties": {"up": whole, "of": whole}},
                "fallback": {"type": "object", "properties": {"wanted": text, "got": text}},
            },
        },
        "LatentsOfSeed": {
            "type": "object",
            "required": ["latents"],
            "properties": {"latents": {"type": "array", "items": NUMBERS}},
        },
        "Directions": {
            "type": "object",
            "required": ["directions"],
            "properties": {
                "directions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "latents"],
                        "properties": {"name": text, "latents": NUMBERS},
                    },
                },
            },
        },
        "ServerFacts": {
            "type": "object",
            "required": ["name", "status", "model", "version", "image", "try"],
            "properties": {
                "name": {"const": "carfront"},
                "status": {"const": "alive"},
                "model": text,
                "version": text,
                "image": {
                    "type": "object",
                    "properties": {
                        "shape": {"type": "array", "items": whole, "minItems": 3, "maxItems": 3},
                        "dtype": {"const": "uint8"},
                        "colors": {"enum": ["grey", "RGB", "RGBA"]},
                    },
                },
                "latents": {
                    "type": "object",
                    "properties": {"dim": whole, "distribution": {"enum": ["normal", "uniform"]}},
                },
                "classes": {"type": "array", "items": text},
                "try": {"type": "array", "items": text},
            },
        },
    }
