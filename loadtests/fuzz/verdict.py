"""What is wrong with an answer: its status, its form, its id or its images."""

import http.client
import json
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from loadtests.fuzz.request import SMUGGLED, Images, Request
from loadtests.fuzz.response import Response
from loadtests.fuzz.routes import documented

MIMETYPES = {"png": "image/png", "npy": "application/x-npy"}


@dataclass(frozen=True)
class Fault:
    """One thing that the server did wrong."""

    kind: str
    """What was wrong, in words that are the same for all faults of the kind."""
    detail: str = ""


class References:
    """The images as clean requests get them, each over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url).netloc
        self.images = lru_cache(maxsize=2000)(self._images)

    def _images(self, wanted: Images) -> bytes:
        connection = http.client.HTTPConnection(self._place, timeout=60)
        try:
            if wanted.n == 1 and wanted.format == "png":
                connection.request("GET", f"/v1/images/{wanted.seed}.png")
            else:
                body = {"n": wanted.n, "seed": wanted.seed, "format": wanted.format}
                fields = {"Content-Type": "application/json"}
                connection.request("POST", "/v1/images", json.dumps(body), fields)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ConnectionError(f"a clean request was answered {response.status}: {data!r}")
        return data


def faults(request: Request, response: Response, references: References) -> list[Fault]:
    """Return what is wrong with the ``response`` to ``request``; nothing, if the list is empty."""
    found = [*_status(request, response), *_id(request, response)]
    if response.status >= 400:
        found += _error(request, response)
    elif request.images and request.method != b"HEAD" and response.status == 200:
        found += _images(request.images, response, references)
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
    wanted = request.below_v2
    if (is_problem and wanted is not True) or (is_error and wanted is not False):
        return []
    place = {True: "below /v2", False: "outside /v2", None: "of the connection"}[wanted]
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
