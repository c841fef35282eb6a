"""What is wrong with an answer: its status, its form, its id or its images."""

import http.client
import io
import json
import time
from functools import lru_cache
from urllib.parse import urlsplit

import numpy as np

from loadtests.fuzz import restored
from loadtests.fuzz.caller import ANSWER_S
from loadtests.fuzz.large import WHOLE
from loadtests.fuzz.outcome import Fault
from loadtests.fuzz.request import SMUGGLED, Images, Request
from loadtests.fuzz.response import Response
from loadtests.fuzz.routes import documented

ASKED_AGAIN = 20
"""How often a clean request is asked that is refused each time."""
OF_LIMITS = {"retry-after", "ratelimit", "ratelimit-policy"}
"""The header fields of an answer to a key that has drawn as much as it may."""
SHAPE = (32, 32, 3)
"""The shape of an image of the model that the server draws with."""
MIMETYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/x-npy",
    "tar": "application/x-tar",
    "tar.jpg": "application/x-tar",
    "json": "application/json",
    "raw": "application/octet-stream",
}


class CleanRequestFailed(Exception):
    """A request that nothing is wrong with was not answered with images."""


class References:
    """The images as clean requests with ``key``, if any, get them, each over its own connection."""

    def __init__(self, url: str, key: bytes = b"") -> None:
        self._place = urlsplit(url).netloc
        self._fields: dict[str, str | bytes] = {"X-API-Key": key} if key else {}
        self.images = lru_cache(maxsize=2000)(self._images)

    def _images(self, wanted: Images) -> bytes:
        if wanted.n > WHOLE and wanted.format in ("npy", "raw"):
            return self._joined(wanted)
        for _ in range(ASKED_AGAIN):
            status, retry_after_s, data = self._asked(wanted)
            if status == 200:
                return data
            if status != 503:  # that is due to what other requests wait for
                break
            time.sleep(retry_after_s)
        raise CleanRequestFailed(f"it was answered {status}: {data!r}")

    def _joined(self, wanted: Images) -> bytes:
        """Return what a large answer has to be, of answers that are not streamed."""
        last = wanted.seed + wanted.n
        pixels = b"".join(
            self._images(Images(seed, min(WHOLE, last - seed), "raw"))
            for seed in range(wanted.seed, last, WHOLE)
        )
        if wanted.format == "raw":
            return pixels
        file = io.BytesIO()
        np.save(file, np.frombuffer(pixels, np.uint8).reshape(wanted.n, *SHAPE))
        return file.getvalue()

    def _asked(self, wanted: Images) -> tuple[int, float, bytes]:
        """Return the status of a clean request, its ``Retry-After`` in seconds, and the body."""
        connection = http.client.HTTPConnection(self._place, timeout=ANSWER_S)
        try:
            if wanted.n == 1 and wanted.format == "png":
                connection.request("GET", f"/v1/images/{wanted.seed}.png", headers=self._fields)
            else:
                body = {"n": wanted.n, "seed": wanted.seed, "format": wanted.format}
                fields = {"Content-Type": "application/json", **self._fields}
                connection.request("POST", "/v1/images", json.dumps(body), fields)
            response = connection.getresponse()
            retry_after_s = float(response.headers.get("Retry-After", 0))
            return response.status, retry_after_s, response.read()
        finally:
            connection.close()


def faults(request: Request, response: Response, references: References) -> list[Fault]:
    """Return what is wrong with the ``response`` to ``request``; nothing, if the list is empty."""
    found = [*_status(request, response), *_id(request, response)]
    if response.status >= 400:
        found += _error(request, response)
    elif request.images and request.method != b"HEAD" and response.status == 200:
        found += _images(request.images, response, references)
    elif request.restored and response.status == 200:
        found += restored.faults(request.restored, response)
    return found


def _status(request: Request, response: Response) -> list[Fault]:
    status = response.status
    if status == 500:
        return [Fault("500")]
    if status not in documented(request):
        return [Fault(f"{status}, which is not documented")]
    if status not in request.statuses:
        wanted = ", ".join(map(str, sorted(request.statuses)))
        return [Fault(f"{status} instead of {wanted}", _text(response))]
    if status == 405 and "allow" not in response.fields:
        return [Fault("405 without Allow")]
    if status == 401 and "www-authenticate" not in response.fields:
        return [Fault("401 without WWW-Authenticate")]
    if status == 429 and not response.fields.keys() >= OF_LIMITS:
        return [Fault("429 without Retry-After and RateLimit")]
    if status == 503 and "retry-after" not in response.fields and request.images:
        return [Fault("503 without Retry-After")]
    return []


def _id(request: Request, response: Response) -> list[Fault]:
    given = response.fields.get("x-request-id", "")
    if given == SMUGGLED:
        return [Fault("a body was answered as a request")]
    if given.startswith("fuzz-") and given != request.request_id:
        return [Fault("the answer to another request", f"{given} for {request.request_id}")]
    return [] if given else [Fault(f"{response.status} without X-Request-Id")]


def _error(request: Request, response: Response) -> list[Fault]:
    if request.method == b"HEAD":
        return []
    kind = response.fields.get("content-type", "").partition(";")[0]
    try:
        body = json.loads(response.body)
    except ValueError:
        body = None
    is_problem = (
        kind == "application/problem+json"
        and isinstance(body, dict)
        and body.get("status") == response.status
        and all(isinstance(body.get(x), str) and body[x] for x in ("type", "title", "detail"))
    )
    is_error = (
        kind == "application/json"
        and isinstance(body, dict)
        and list(body) == ["error"]
        and isinstance(body["error"], str)
        and body["error"] != ""
    )
    wanted = request.of_protocol
    if (is_problem and wanted is not True) or (is_error and wanted is not False):
        return []
    place = {True: "of a protocol", False: "of our own", None: "of the connection"}[wanted]
    return [Fault(f"{response.status} {place} in another form", f"{kind} {_text(response)}")]


def _images(wanted: Images, response: Response, references: References) -> list[Fault]:
    if response.fields.get("content-type") != MIMETYPES[wanted.format]:
        return [Fault("images of another type", response.fields.get("content-type", ""))]
    if response.fields.get("carfront-seed") != str(wanted.seed):
        return [Fault("another Carfront-Seed", response.fields.get("carfront-seed", ""))]
    if response.body != references.images(wanted):
        return [Fault("wrong images", str(wanted))]
    return []


def _text(response: Response) -> str:
    return repr(response.body[:200])
