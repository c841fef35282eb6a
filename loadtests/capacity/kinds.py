"""The kinds of requests: the protocol, the format and the number of images, in bytes as sent."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from loadtests.answers import Answer, WrongAnswer, check_npy, check_png

PNG, NPY, OIP, OIP_JSON, TFSERVING = "png", "npy", "oip", "oip-json", "tfserving"
FORMS = {
    PNG: "image/png",
    NPY: "application/x-npy",
    OIP: "application/octet-stream",
    OIP_JSON: "application/json",
    TFSERVING: "application/json",
}
"""The protocols and formats by their names, and the type of their answers."""
SAME_LENGTH = (PNG, NPY, OIP)
"""The forms in which all answers for as many images have the same length: a PNG's pixels are
stored."""
BODIES = 16
"""The number of different bodies with latents: to make a new one for each request costs more than
to send it."""


@dataclass(frozen=True)
class Model:
    """What a server's front page tells of its model."""

    name: str
    shape: tuple[int, int, int]
    latent_dim: int

    @classmethod
    def of(cls, page: bytes) -> "Model":
        """Return the model that the front page's JSON describes."""
        facts = json.loads(page)
        height, width, channels = facts["image"]["shape"]
        return cls(facts["model"], (height, width, channels), facts["latents"]["dim"])


@dataclass(frozen=True)
class Kind:
    """A kind of request: so many ``images`` in a form of ``FORMS``."""

    form: str
    images: int

    def __str__(self) -> str:
        return f"{self.form}:{self.images}"

    @classmethod
    def parse(cls, text: str) -> "Kind":
        """Return the kind that ``FORM:IMAGES`` names.

        Raises:
            ValueError: there is no such form, or the number of images is none from 1 to 4096.
        """
        form, _, images = text.partition(":")
        if form not in FORMS or not images.isdecimal() or not 1 <= int(images) <= 4096:
            wanted = f"FORM:IMAGES, with one of {', '.join(FORMS)} and 1 to 4096 images"
            raise ValueError(f"{text!r} is no kind of request; wanted {wanted}")
        return cls(form, int(images))


def requests_of(kind: Kind, model: Model, url: str, deadline_ms: float) -> Callable[[int], bytes]:
    """Return the function that makes the request of a number.

    The same number makes the same request. Seeds are the numbers themselves, a request's last seed
    is below the next one's first; latents are those of ``BODIES`` bodies in turns.
    """
    head = f"Host: {urlsplit(url).netloc}\r\nX-Request-Timeout-Ms: {deadline_ms:.0f}\r\n"
    if kind == Kind(PNG, 1):
        return lambda number: f"GET /v1/images/{number}.png HTTP/1.1\r\n{head}\r\n".encode()
    if kind.form in (PNG, NPY):
        n, form = kind.images, kind.form
        fields = f"{head}Content-Type: application/json\r\n"

        def of_seeds(number: int) -> bytes:
            body = f'{{"n":{n},"seed":{number * n},"format":"{form}"}}'.encode()
            return _post("/v1/images", fields, body)

        return of_seeds
    numbers = np.random.default_rng(kind.images)
    shape = BODIES, kind.images, model.latent_dim
    bodies = [_of_latents(kind, model, head, x) for x in numbers.standard_normal(shape, np.float32)]
    return lambda number: bodies[number % BODIES]


def _of_latents(kind: Kind, model: Model, head: str, latents: NDArray[np.float32]) -> bytes:
    """Return the request for the images of ``latents``: float32 [images, latent_dim]."""
    if kind.form == TFSERVING:
        body = json.dumps({"instances": latents.tolist()}).encode()
        return _post(f"/v1/models/{model.name}:predict", head, body)
    infer = f"/v2/models/{model.name}/infer"
    tensor: dict[str, object] = {"name": "latents", "datatype": "FP32"}
    tensor["shape"] = list(latents.shape)
    if kind.form == OIP_JSON:
        tensor["data"] = latents.ravel().tolist()
        return _post(infer, head, json.dumps({"inputs": [tensor]}).encode())
    tensor["parameters"] = {"binary_data_size": latents.nbytes}
    document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    fields = f"{head}Inference-Header-Content-Length: {len(document)}\r\n"
    return _post(infer, fields, document + latents.tobytes())


def _post(path: str, fields: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def check(kind: Kind, model: Model, answer: Answer) -> None:
    """Check that ``answer`` has the images that a request of this kind asks for, as far as it
    can be told without the model.

    Raises:
        WrongAnswer: it does not.
    """
    n, shape = kind.images, model.shape
    if kind.form == PNG:
        check_png(answer, n, shape)
    elif kind.form == NPY:
        check_npy(answer, n, shape)
    else:
        images = _images(kind.form, answer)
        if images.shape != (n, *shape):
            raise WrongAnswer(f"the images are {list(images.shape)}, wanted {[n, *shape]}")


def _images(form: str, answer: Answer) -> NDArray[np.generic]:
    """Return the images of an inference protocol's answer: uint8 or float64."""
    body = answer.require(FORMS[form])
    try:
        if form == TFSERVING:
            return np.asarray(json.loads(body)["predictions"], np.float64)
        stream = io.BytesIO(body)
        size = int(answer.headers.get("inference-header-content-length", len(body)))
        (output,) = json.loads(stream.read(size))["outputs"]
        data = np.frombuffer(stream.read(), np.uint8) if form == OIP else output["data"]
        return np.asarray(data, np.uint8).reshape(output["shape"])
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"the answer is none of the protocol: {error!r}") from error
