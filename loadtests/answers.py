"""The checks of an answer beyond its status: a fast wrong answer is worse than none."""

import hashlib
import io
import json
import re
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLORS = {1: ("grey", 0), 3: ("RGB", 2), 4: ("RGBA", 6)}
"""What a PNG calls 1, 3 and 4 channels: in words, and as its colour type."""

NUMBER = re.compile(r"\d+(\.\d+)?")


class WrongAnswer(Exception):
    """An answer is not what was asked for; the message says how, in one sentence.

    The message names no seed that is drawn only once: equal faults must count as one in a summary.
    """


class Refused(WrongAnswer):
    """The server refused honestly: too many ask, and it says when to ask again.

    The message is the kind of the refusal. It has no number that differs from one to the next.
    """

    def __init__(self, kind: str, retry_after_s: float) -> None:
        super().__init__(kind)
        self.retry_after_s = retry_after_s


class Late(WrongAnswer):
    """The server accepted the request, and gave it up at its deadline."""


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
        self.require_status(200)
        self.require_type(mimetype)
        return self.body

    def require_status(self, *wanted: int) -> None:
        """Check the status.

        Raises:
            Refused: it is 503 or 429, and the answer says in how many seconds to ask again.
            Late: it is 504.
            WrongAnswer: it is any other that was not wanted.
        """
        if self.status in wanted:
            return
        kind = f"{self.status}{self._why()}"
        wait = self.headers.get("retry-after", "")
        if self.status in (429, 503) and wait.isdecimal():
            raise Refused(kind, float(wait))
        if self.status in (429, 503):
            raise WrongAnswer(f"{kind}, without a Retry-After in seconds")
        if self.status == 504:
            raise Late(kind)
        raise WrongAnswer(f"the status is {kind}, wanted {' or '.join(map(str, wanted))}")

    def require_type(self, mimetype: str) -> None:
        """Check the Content-Type, without its parameters."""
        found = self.headers.get("content-type", "").partition(";")[0].strip()
        if found != mimetype:
            raise WrongAnswer(f"the Content-Type is {found!r}, wanted {mimetype!r}")

    def _why(self) -> str:
        """Return the kind of the error that the answer tells of, if it does.

        It is a problem's title, or an inference protocol's sentence without its numbers.
        """
        try:
            document = json.loads(self.body)
            return f": {document.get('title') or NUMBER.sub('N', document['error'])}"
        except (ValueError, KeyError, TypeError, AttributeError):
            return ""


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
    colors, color_type = COLORS[shape[2]]
    rest = bytes([8, color_type, 0, 0, 0])  # 8 bits, deflate, adaptive filters, not interlaced
    if header[8:] != rest:
        raise WrongAnswer(f"IHDR says {header[8:].hex()}, wanted 8-bit {colors} {rest.hex()}")
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
    """Return the decoded image: uint8 [height, width, channels]."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1)
    except (OSError, SyntaxError, ValueError) as error:
        raise WrongAnswer(f"the PNG does not decode: {type(error).__name__}") from error


def check_npy(answer: Answer, n: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the images of a .npy file: uint8 [n, height, width, channels]."""
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
    """Return image ``row`` of a sheet of ``n``: uint8 [height, width, channels]."""
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
