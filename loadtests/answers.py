"""The checks of an answer beyond its status: a fast wrong answer is worse than none."""

import hashlib
import io
import json
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB8 = b"\x08\x02\x00\x00\x00"
"""The rest of IHDR: 8 bits a channel, RGB, deflate, adaptive filters, not interlaced."""


class WrongAnswer(Exception):
    """An answer is not what was asked for; the message says how, in one sentence.

    The message names no seed that is drawn only once: equal faults must count as one in a summary.
    """


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    status: int
    headers: Mapping[str, str]
    """The headers, with lower-case names."""
    body: bytes

    def require(self, mimetype: str) -> bytes:
        """Return the body of an answer with status 200 and this type.

        Raises:
            WrongAnswer: the answer has another status or type.
        """
        if self.status != 200:
            raise WrongAnswer(f"the status is {self.status}, wanted 200{self._why()}")
        self.require_type(mimetype)
        return self.body

    def require_type(self, mimetype: str) -> None:
        """Check the Content-Type, without its parameters."""
        found = self.headers.get("content-type", "").partition(";")[0].strip()
        if found != mimetype:
            raise WrongAnswer(f"the Content-Type is {found!r}, wanted {mimetype!r}")

    def _why(self) -> str:
        """Return the reason that the answer gives: a problem's title, and its Retry-After."""
        try:
            why = ": " + json.loads(self.body)["title"]
        except (ValueError, KeyError, TypeError):
            why = ""
        wait = self.headers.get("retry-after")
        return f"{why} (Retry-After {wait})" if wait else why


def check_seed(answer: Answer, seed: int) -> None:
    """Check that the answer's header names its seed."""
    if (found := answer.headers.get("carfront-seed")) != str(seed):
        raise WrongAnswer(f"the header Carfront-Seed is {'absent' if found is None else 'another'}")


def check_png(answer: Answer, n: int, shape: tuple[int, int, int]) -> bytes:
    """Return the PNG of ``n`` images of ``shape``: one image, or a sheet in ceil(sqrt(n)) columns.

    The check reads every chunk and its checksum, so that it finds any byte that was cut, added or
    changed on the way. :func:`pixels` decodes the image, at a hundred times the cost.

    Source: PNG specification, third edition.
    """
    body = answer.require("image/png")
    header = _walk_chunks(body)
    size = header[:8]
    width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
    columns = isqrt(n - 1) + 1
    wanted = columns * shape[1], ceil(n / columns) * shape[0]
    if (width, height) != wanted:
        raise WrongAnswer(f"IHDR says {width}x{height}, wanted {wanted[0]}x{wanted[1]}")
    if header[8:] != RGB8:
        raise WrongAnswer(f"IHDR says {header[8:].hex()}, wanted 8-bit RGB {RGB8.hex()}")
    return body


def _walk_chunks(body: bytes) -> bytes:
    """Return IHDR's data, after checking that all chunks are whole and that IEND is the last."""
    if not body.startswith(PNG_SIGNATURE):
        raise WrongAnswer("the body does not begin with the signature of a PNG")
    kinds: list[bytes] = []
    header, at = b"", len(PNG_SIGNATURE)
    while at < len(body) and b"IEND" not in kinds:
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        kind = body[at + 4 : at + 8]
        if body[end : end + 4] != zlib.crc32(body[at + 4 : end]).to_bytes(4, "big"):
            raise WrongAnswer("a PNG chunk is cut short or its checksum is wrong")
        if not kinds:
            header = body[at + 8 : end]
        kinds.append(kind)
        at = end + 4
    if kinds[:1] != [b"IHDR"] or kinds[-1] != b"IEND" or b"IDAT" not in kinds or at != len(body):
        raise WrongAnswer("the PNG's chunks are not IHDR, IDAT, IEND and nothing after")
    return header


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Return the decoded image: uint8 [height, width, 3]."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise WrongAnswer(f"the PNG does not decode: {type(error).__name__}") from error


def check_npy(answer: Answer, n: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the images of a .npy file: uint8 [n, height, width, 3]."""
    stream = io.BytesIO(answer.require("application/x-npy"))
    try:
        images: NDArray[np.generic] = np.load(stream, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise WrongAnswer(f"the npy does not load: {type(error).__name__}") from error
    if stream.read(1):
        raise WrongAnswer("the npy goes on after its last image")
    if images.dtype != np.uint8:
        raise WrongAnswer(f"the npy's dtype is {images.dtype}, wanted uint8")
    if images.shape[1:] != shape:
        raise WrongAnswer(f"an image of the npy is {images.shape[1:]}, wanted {shape}")
    if len(images) != n:
        raise WrongAnswer("the npy has another number of images than were asked for")
    return images.astype(np.uint8, copy=False)


def check_row(row: NDArray[np.uint8], png: bytes) -> None:
    """Check that one image of a batch is the image of its seed alone."""
    if not np.array_equal(row, pixels(png)):
        raise WrongAnswer("an image of a batch differs from the PNG of its seed")


def tile(
    sheet: NDArray[np.uint8], row: int, n: int, shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Return image ``row`` of a sheet of ``n``: uint8 [height, width, 3]."""
    height, width, _ = shape
    down, right = divmod(row, isqrt(n - 1) + 1)
    return sheet[down * height :, right * width :][:height, :width]


def check_problem(answer: Answer) -> None:
    """Check the refusal of a bad request: a 4xx with a problem document and its detail.

    Source: RFC 9457.
    """
    if not 400 <= answer.status < 500:
        raise WrongAnswer(f"the status of a bad request is {answer.status}, wanted 4xx")
    answer.require_type("application/problem+json")
    try:
        problem = json.loads(answer.body)
    except ValueError as error:
        raise WrongAnswer("the problem document is not JSON") from error
    if not isinstance(problem, dict) or problem.get("status") != answer.status:
        raise WrongAnswer("the problem document has another status than the answer")
    if not (isinstance(problem.get("detail"), str) and problem["detail"]):
        raise WrongAnswer("the problem document has no detail")


def shape_of(answer: Answer) -> tuple[int, int, int]:
    """Return the shape of the model's images, from the front page's JSON."""
    try:
        height, width, channels = json.loads(answer.require("application/json"))["image"]["shape"]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer("the front page does not say image.shape as three numbers") from error
    return int(height), int(width), int(channels)


class Memory:
    """Remembers a digest of each repeated request: the same seed must give the same bytes."""

    def __init__(self) -> None:
        self._digests: dict[Hashable, bytes] = {}

    def check(self, name: Hashable, body: bytes) -> None:
        """Check that ``body`` equals the first body of this name.

        Raises:
            WrongAnswer: ``body`` differs from the first one.
        """
        digest = hashlib.sha256(body).digest()
        first = self._digests.setdefault(name, digest)
        if digest != first:
            raise WrongAnswer(
                f"{name} gave other bytes than before: "
                f"sha256 {digest.hex()[:12]}, first {first.hex()[:12]}"
            )
