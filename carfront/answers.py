"""How answers are read: images come as .npy files, the values as they are."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from carfront.errors import BadAnswer, error_of

TOLD = 300
"""The characters of an answer that is no problem document that an error shows at most."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; the names of ``headers`` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Model:
    """A version of a model that a server has."""

    name: str
    version: str
    state: str
    """READY where it is served."""
    reason: str
    """Why it is not served; empty where it is."""


@dataclass(frozen=True)
class Drawn:
    """Images and who drew them."""

    images: NDArray[np.uint8]
    """uint8 [n, height, width, channels]"""
    model: str
    """The model and its version, ``name/version``."""
    plan: str
    """The provider and the precision, ``openvino/bf16``."""


def config(answer: Answer) -> tuple[dict[str, str], int]:
    """Return the parameters in a model's configuration, as Triton has them, and its largest batch.

    What the configuration does not have is empty, and 0.
    """
    try:
        found = json.loads(answer.body)
        parameters = {name: str(x["string_value"]) for name, x in found["parameters"].items()}
        return parameters, int(found["max_batch_size"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}, 0


def drawn(answer: Answer) -> Drawn:
    """Return the images in ``answer``.

    Raises:
        BadAnswer: there are none in it.
    """
    model, plan = (answer.headers.get(f"Carfront-{name}", "") for name in ("Model", "Plan"))
    file = io.BytesIO(answer.body)
    try:
        if npy.read_magic(file) != (1, 0):
            raise ValueError("its version is none that is read")
        shape, by_column, kind = npy.read_array_header_1_0(file)
        if len(shape) != 4 or by_column or kind != np.uint8:
            raise ValueError(f"it is {kind} {shape}")
        images = np.frombuffer(answer.body, np.uint8, offset=file.tell()).reshape(shape)
    except ValueError as error:
        raise BadAnswer(f"the answer is no .npy file of images: {error}") from error
    return Drawn(images, model, plan)


def joined(parts: Sequence[Drawn]) -> Drawn:
    """Return ``parts`` as one; no parts are no images."""
    if not parts:
        return Drawn(np.empty((0, 0, 0, 0), np.uint8), "", "")
    if len(parts) == 1:
        return parts[0]
    return Drawn(np.concatenate([x.images for x in parts]), parts[0].model, parts[0].plan)


def models(answer: Answer) -> list[Model]:
    """Return the models that ``answer`` lists.

    Raises:
        BadAnswer: it lists none.
    """
    names = ("name", "version", "state", "reason")
    try:
        return [
            Model(*(str(row.get(name, "")) for name in names)) for row in json.loads(answer.body)
        ]
    except (AttributeError, TypeError, ValueError) as error:
        raise BadAnswer(f"the answer lists no models: {error}") from error


def check(answer: Answer) -> Answer:
    """Return ``answer`` if it is a good one.

    Raises:
        ServerError: it is an error; the message is the server's sentence.
        BadAnswer: it is neither.
    """
    if 200 <= answer.status < 300:
        return answer
    if answer.status < 400:
        raise BadAnswer(f"the answer has status {answer.status}; wanted 200")
    problem, detail = _problem(answer)
    error = error_of(answer.status, detail, problem)
    error.retry_after_s = _retry_after_s(answer.headers.get("Retry-After"))
    raise error


def _problem(answer: Answer) -> tuple[dict[str, Any], str]:
    """Return the error document of ``answer``, if it has one, and its sentence."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found, str(found.get("detail") or found.get("error") or found.get("title") or found)
    text = answer.body[:TOLD].decode(errors="replace").strip()
    return {}, text if text and "<" not in text else f"the server answered {answer.status}"


def _retry_after_s(text: str | None) -> float | None:
    """Return the seconds that a Retry-After names, also by a date. Source: RFC 9110, 10.2.3."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
