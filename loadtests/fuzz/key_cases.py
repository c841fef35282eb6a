"""Cases of keys at a server that wants one: who may ask what, by HTTP and by gRPC."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from loadtests.fuzz import messages
from loadtests.fuzz.call import Call
from loadtests.fuzz.calls import HEALTH, REFLECTION, CallMaker
from loadtests.fuzz.inference import INFER
from loadtests.fuzz.inference_parts import TENSOR
from loadtests.fuzz.keys import RIGHT, WRONG, Given
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Request
from loadtests.fuzz.tfserving import MODEL, ROW
from loadtests.fuzz.wire import message


@dataclass(frozen=True)
class Place:
    """What can be asked for, by HTTP or by gRPC."""

    target: str
    """The path of a request, or the name of a method."""
    body: bytes = b""
    """The body of a POST, or the message of a call."""
    images: int = 0
    """The number of images that are drawn for it."""
    status: int | str = 200
    """The status for those who may ask."""
    is_open: bool = False
    """Whether everybody may ask."""
    is_admins: bool = False
    """Whether administrators alone may ask."""


@dataclass(frozen=True)
class Statuses:
    """The statuses of a protocol's refusals."""

    unknown: int | str
    no_admin: int | str
    too_many: int | str
    later: int | str


HTTP = Statuses(401, 403, 400, 429)
GRPC = Statuses("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


PLACES = (
    Place("/v1/images/7.png", images=1),
    Place("/v1/grid.png?rows=1&cols=3", images=3),
    Place("/v1/images", _json(n=3, seed=7, format="npy"), 3),
    Place("/v1/images", _json(n=9, seed=7, format="tar"), 9),
    Place("/v1/images", _json(n=40, format="raw"), 40),
    Place(INFER, _json(inputs=[TENSOR]), 1),
    Place(f"{MODEL}:predict", _json(instances=[ROW, ROW]), 2),
    Place("/v2/models/cars-dcgan/config"),
    Place(MODEL),
    Place("/v2/repository/index", b"{}"),
    Place("/openapi.json"),
    Place("/v1/latents/7"),
    Place("/v1/cars", status=404),
    Place("/v2/models/lorry", status=404),
    Place("/v2/repository/models/lorry/load", b"{}", status=404, is_admins=True),
    Place("/v2/repository/models/cars-dcgan/load", b"{}", is_admins=True),
    Place("/healthz", is_open=True),
    Place("/readyz", is_open=True),
    Place("/metrics", is_open=True),
    Place("/v2/health/live", is_open=True),
    Place("/v2/health/ready", is_open=True),
)
"""What is asked for by HTTP: with GET where there is no body, else with POST."""
METHODS = (
    Place("ModelInfer", messages.RIGHT.message, 1, "OK"),
    Place("ModelInfer", messages.infer(messages.ROW * 3).message, 3, "OK"),
    Place("ModelInfer", messages.infer(messages.ROW * 9).message, 9, "OK"),
    Place("ModelMetadata", message((1, messages.MODEL)), status="OK"),
    Place("RepositoryIndex", status="OK"),
    Place("ModelConfig", message((1, b"lorry")), status="NOT_FOUND"),
    Place(REFLECTION, message((7, b"")), status="OK"),
    Place("RepositoryModelLoad", message((2, b"lorry")), status="NOT_FOUND", is_admins=True),
    Place("ServerLive", status="OK", is_open=True),
    Place("ServerReady", status="OK", is_open=True),
    Place(f"{HEALTH}Check", status="OK", is_open=True),
)
"""What is asked for by gRPC."""


def given(rng: Random) -> Given:
    """Return what a caller sends as its key, a right one as often as not."""
    return rng.choice(RIGHT if rng.random() < 0.5 else WRONG)


def owed(place: Place, sent: Given, statuses: Statuses) -> set[int | str]:
    """Return the statuses that may answer somebody who has ``sent`` a key and asks for a place."""
    holder = sent.holder
    if place.is_open:
        return {place.status}
    if holder is None:
        return {statuses.unknown}
    if place.is_admins and not holder.is_admin:
        return {statuses.no_admin}
    if not holder.most or not place.images:
        return {place.status}
    return {statuses.too_many} if place.images > holder.most else {place.status, statuses.later}


def request(maker: Maker) -> Request:
    """Return a request of somebody with a key, or without one."""
    place, sent = maker.rng.choice(PLACES), given(maker.rng)
    method = "POST" if place.body else maker.rng.choice(("GET", "GET", "GET", "HEAD"))
    found = maker.request(_kind(sent, place), method, place.target)
    found.fields = [x for x in found.fields if not x.startswith(b"X-API-Key")]
    found.fields += [b"%b: %b" % (name.encode(), value) for name, value in sent.fields]
    codes = owed(place, sent, HTTP)
    if method == "HEAD" and sent.holder:  # which draws nothing
        codes.add(place.status)
    found.needs_key = True
    found.owes(ANSWER, {int(code) for code in codes})
    if place.body:
        found.fields.append(b"Content-Type: application/json")
        found.with_body(place.body)
    return found


def call(maker: CallMaker) -> Call:
    """Return a call of somebody with a key, or without one."""
    place, sent = maker.rng.choice(METHODS), given(maker.rng)
    found = maker.call(f"call, {_kind(sent, place)}", place.target, place.body)
    found.metadata = [x for x in found.metadata if x[0] != "x-api-key"]
    for name, value in sent.fields:
        found.says(name.lower(), value.decode())
    return found.owes(*map(str, owed(place, sent, GRPC)))


def _kind(sent: Given, place: Place) -> str:
    """Return the name of a case: who asks for something, or by what somebody is not known."""
    if sent.holder is None:
        return f"no key: {sent.name}"
    return f"key of {sent.holder.name}: {place.target}"


CASES: dict[Callable[[Maker], Request], int] = {request: 1}
CALL_CASES: dict[Callable[[CallMaker], Call], int] = {call: 1}
