"""The checks of answers that ``loadtests.answers`` does not know: tensors, streams and films."""

import hashlib
import io
import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loadtests.answers import Answer, WrongAnswer

KEPT = 64
"""The images of a stream that are looked at; the rest is counted and digested as it comes."""
OVERSHOOT = 1e-6
"""By how much a float image may be beyond 1: as much as float32 rounds there."""


def check_error(answer: Answer) -> None:
    """Check the refusal of a bad request in an inference protocol: a 4xx and its sentence.

    Source: the Open Inference Protocol v2; TensorFlow Serving's RESTful API.
    """
    if not 400 <= answer.status < 500:
        raise WrongAnswer(f"the status of a bad request is {answer.status}, wanted 4xx")
    answer.require_type("application/json")
    try:
        words = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer("the error is no JSON with a member error") from error
    if not (isinstance(words, str) and words):
        raise WrongAnswer("the error has no words")


def check_latents(answer: Answer, latent_dim: int) -> NDArray[np.float32]:
    """Return the latents of one seed: float32 [1, latent_dim]."""
    try:
        rows = json.loads(answer.require("application/json"))["latents"]
        return np.array(rows, np.float32).reshape(1, latent_dim)
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"the latents are not one row of {latent_dim} numbers") from error


def check_tensor(answer: Answer, n: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the images of a binary answer of the Open Inference Protocol: uint8 [n, *shape]."""
    body = answer.require("application/octet-stream")
    size = answer.headers.get("inference-header-content-length", "")
    wanted = ("images", "UINT8", [n, *shape])
    try:
        head = int(size)
        (output,) = json.loads(body[:head])["outputs"]
        found = (output["name"], output["datatype"], output["shape"])
        length = output["parameters"]["binary_data_size"]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"the tensor is not described: {type(error).__name__}") from error
    if found != wanted:
        raise WrongAnswer(f"the tensor is {found}, wanted {wanted}")
    if length != len(body) - head or length != n * int(np.prod(shape)):
        raise WrongAnswer(f"the tensor has {len(body) - head} bytes, and says {length}")
    return np.frombuffer(body, np.uint8, offset=head).reshape(n, *shape)


def check_predictions(answer: Answer, n: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the float images of TensorFlow Serving's interface: float32 [n, *shape] in [-1, 1]."""
    try:
        predictions = json.loads(answer.require("application/json"))["predictions"]
        images = np.array(predictions, np.float32)
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"there are no predictions: {type(error).__name__}") from error
    if images.shape != (n, *shape):
        raise WrongAnswer(f"the predictions are {images.shape}, wanted {(n, *shape)}")
    if not np.abs(images).max() <= 1 + OVERSHOOT:
        raise WrongAnswer("a value of a float image is not in [-1, 1]")
    return images


def check_npy_stream(
    pieces: Iterable[bytes], n: int, shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], str]:
    """Return the first images of a .npy file that comes in pieces, and its SHA-256.

    The first ``KEPT`` images are kept, uint8 [KEPT, *shape]; the file is never whole in memory.
    """
    size = int(np.prod(shape))
    head, length, digest = bytearray(), 0, hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        length += len(piece)
        head += piece[: max(0, 128 + KEPT * size - len(head))]
    stream = io.BytesIO(head)
    try:
        np.lib.format.read_magic(stream)
        found, in_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError as error:
        raise WrongAnswer("the stream is no .npy file") from error
    if (found, in_columns, dtype) != ((n, *shape), False, np.dtype(np.uint8)):
        raise WrongAnswer(f"the stream is {dtype} {found}, wanted uint8 {(n, *shape)}")
    if length != (wanted := stream.tell() + n * size):
        raise WrongAnswer(f"the stream has {length} bytes, wanted {wanted}")
    images = np.frombuffer(stream.read(min(n, KEPT) * size), np.uint8)
    return images.reshape(-1, *shape), digest.hexdigest()


def check_picture(answer: Answer, form: str, size: tuple[int, int], frames: int = 1) -> Image.Image:
    """Return the first frame of a picture of ``size``, width and height; all are decoded."""
    body = answer.require(f"image/{form}")
    try:
        with Image.open(io.BytesIO(body), formats=[form.upper()]) as picture:
            found = picture.size, getattr(picture, "n_frames", 1)
            for frame in range(found[1]):
                picture.seek(frame)
                picture.load()
            picture.seek(0)
            first = picture.copy()
    except (OSError, SyntaxError, ValueError) as error:
        raise WrongAnswer(f"the {form} does not decode: {type(error).__name__}") from error
    if found != (size, frames):
        raise WrongAnswer(f"the {form} is {found[0]}, {found[1]} frames; wanted {size}, {frames}")
    return first
