"""Cases of TensorFlow Serving's REST interface: rows and columns of latents, right and wrong."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Request

LATENT_DIM = 100
MODEL = "/v1/models/cars-dcgan"
ROW = [0.5] * LATENT_DIM
DRAWN = (200, 503)
"""The statuses of a right request."""
WRONG: tuple[Any, ...] = (
    {},
    [],
    None,
    7,
    {"instances": []},
    {"instances": ROW},
    {"instances": [ROW[1:]]},
    {"instances": [[*ROW, 1]]},
    {"instances": [[None, *ROW[1:]]]},
    {"instances": [["0", *ROW[1:]]]},
    {"instances": [[True, *ROW[1:]]]},
    {"instances": [[1e39, *ROW[1:]]]},
    {"instances": [{"images": ROW}]},
    {"instances": [{"latents": ROW, "more": 1}]},
    {"instances": [ROW], "inputs": [ROW]},
    {"instances": {"latents": [ROW]}},
    {"instances": [ROW], "signature_name": "other"},
    {"instances": [ROW], "signature_name": 7},
    {"inputs": []},
    {"inputs": "latents"},
    {"inputs": {}},
    {"inputs": {"latents": ROW}},
    {"inputs": [[ROW]]},
)
"""Bodies that ask for no images."""
BROKEN = (b"", b"{", b'{"instances": [[NaN]]}', b'{"instances": [[1e400]]}', b"[" * 5000, b"\xff")
"""Bodies that are no JSON, or none that is read."""
DOCUMENTS: tuple[tuple[str, int], ...] = (
    ("", 200),
    ("/versions/0", 200),
    ("/metadata", 200),
    ("/versions/0/metadata", 200),
    ("/versions/99", 404),
    ("/versions/-1", 404),
    ("/versions/" + "9" * 30, 404),
    ("/labels/stable", 404),
    ("/labels/%00/metadata", 404),
    ("/versions/1:predict", 405),
)
"""What is asked of a model by GET, and the status of the answer."""


def right(maker: Maker) -> Request:
    """Return a right request for predictions."""
    rows = [ROW] * maker.rng.choice((1, 2, 8))
    body: Any = maker.rng.choice(
        (
            {"instances": rows},
            {"instances": [{"latents": row} for row in rows]},
            {"inputs": rows},
            {"inputs": {"latents": rows}, "signature_name": "serving_default"},
            {"instances": rows, "signature_name": ""},
        )
    )
    version = maker.rng.choice(("", "/versions/0", f"/versions/{maker.version}"))
    request = _request(maker, "predict", f"{MODEL}{version}:predict", DRAWN)
    return request.with_body(json.dumps(body).encode())


def wrong(maker: Maker) -> Request:
    """Return a request for predictions whose body cannot be read."""
    request = _request(maker, "predict: wrong body", f"{MODEL}:predict", (400,))
    if maker.rng.random() < 0.3:
        request.kind = "predict: broken body"
        return request.with_body(maker.rng.choice(BROKEN))
    return request.with_body(json.dumps(maker.rng.choice(WRONG)).encode())


def any_value(maker: Maker) -> Request:
    """Return a request for predictions with any JSON value somewhere in its body."""
    value = maker.rng.choice(maker.odd.values)
    key = maker.rng.choice(("instances", "inputs", "signature_name"))
    body = {"instances": [ROW], key: value} if key == "signature_name" else {key: value}
    request = _request(maker, "predict: any value", f"{MODEL}:predict", (400, *DRAWN))
    return request.with_body(json.dumps(body).encode())


def elsewhere(maker: Maker) -> Request:
    """Return a request for predictions of what is not there."""
    targets = (
        "/v1/models/lorry",
        f"{MODEL}/versions/99",
        f"{MODEL}/labels/a",
        f"{MODEL}/versions/x",
    )
    target = f"{maker.rng.choice(targets)}:predict"
    request = _request(maker, "predict: not there", target, (404,))
    return request.with_body(json.dumps({"instances": [ROW]}).encode())


def document(maker: Maker) -> Request:
    """Return a request for what the interface tells of a model."""
    path, status = maker.rng.choice(DOCUMENTS)
    request = maker.request("model of TensorFlow Serving", target=MODEL + path)
    return request.owes(ANSWER, (status,))


def _request(maker: Maker, kind: str, target: str, statuses: tuple[int, ...]) -> Request:
    request = maker.request(kind, "POST", target).owes(ANSWER, statuses)
    if maker.rng.random() < 0.5:
        request.fields.append(b"Content-Type: application/json")
    return request


CASES: dict[Callable[[Maker], Request], int] = {
    right: 3, wrong: 3, any_value: 2, elsewhere: 1, document: 2,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""
