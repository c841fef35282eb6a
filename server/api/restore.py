"""Our own interface: a photograph in, a car out.

The answer is JSON, or the search as it goes on as Server-Sent Events.
Source: the HTML standard, section 9.2.
"""

import json
import logging
from base64 import b64encode
from collections.abc import Generator, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from flask import Blueprint, Response, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from inversion.photograph import Photograph, PhotographRefused, read_photograph, to_bytes
from inversion.search import Found
from server.api.context import CONTEXT, RequestContext
from server.api.generate import ImageService
from server.api.problem import of_serving_error
from server.api.restoration import Restoration, check_restores
from server.api.restore_form import Wanted, read_form
from server.codecs.png import encode_png
from server.errors import ClientGone, InvalidRequest, ServingError, Words
from server.ipc.catalog import Entry
from server.observability.known_series import RESTORE
from server.worker.engine_client import EngineClient
from server.worker.streamed import Cut, Streamed

log = logging.getLogger(__name__)
JSON, EVENTS = "application/json", "text/event-stream"
EVERY = 5
"""The steps between two events."""


def blueprint(client: EngineClient, service: ImageService) -> Blueprint:
    """Return the route to restorations, which ``service`` counts."""
    routes = Blueprint("restore", __name__)

    @routes.post(RESTORE)
    def restore() -> Response:
        context: RequestContext = request.environ[CONTEXT]
        terms = context.terms()
        wanted = read_form(request.environ)
        model = service.find(wanted.model, wanted.version)
        check_restores(model)
        photograph = _read(client, wanted, model)
        restoration = Restoration(client, model, terms, photograph, wanted.loss, wanted.settings)
        context.timings = restoration.timings
        answer = _Answer(restoration, photograph, model, wanted)
        fields = [("Cache-Control", "no-store"), ("Carfront-Model", str(model))]
        if _wants_events():
            streamed = answer.streamed(partial(service.count, model, 1))
            context.streamed = streamed
            fields += [
                ("Content-Type", EVENTS),
                ("X-Accel-Buffering", "no"),
            ]  # nginx passes them on
            return Response(streamed, headers=fields, direct_passthrough=True)
        told = answer.whole()
        service.count(model, 1)
        fields += [("Content-Type", JSON), ("Server-Timing", restoration.timings.in_header())]
        return Response(json.dumps(told) + "\n", headers=fields)

    return routes


def _wants_events() -> bool:
    accepts = parse_accept_header(request.headers.get("Accept"), MIMEAccept)
    return accepts.best_match([JSON, EVENTS]) == EVENTS


def _read(client: EngineClient, wanted: Wanted, model: Entry) -> Photograph:
    """Return the photograph; other callers need not wait while it is decoded.

    Raises:
        InvalidRequest: it cannot be read, or nothing is seen of it.
    """
    assert model.manifest is not None  # find has seen to it
    shape = model.manifest.image.shape
    try:
        return client.loop.in_thread(read_photograph, wanted.photo, shape, wanted.mask)
    except PhotographRefused as error:
        raise InvalidRequest(error.field, Words(error.found), error.wanted) from error


class _Answer:
    """What is told of a restoration, at its end or as it goes on."""

    def __init__(
        self, restoration: Restoration, photograph: Photograph, model: Entry, wanted: Wanted
    ) -> None:
        self._restoration = restoration
        self._photograph = photograph
        self._model = model
        self._wanted = wanted

    def whole(self) -> dict[str, Any]:
        """Return what is told at the end.

        Raises:
            ServingError: there is no image by then.
        """
        last: Found | None = None
        for found in self._restoration.found():
            last = found
        assert last is not None  # found raises where there is none
        return self._end(last)

    def streamed(self, at_end: Any) -> Streamed:
        """Return the events, once the first step is done; ``at_end`` is called behind the last.

        Raises:
            ServingError: the first step cannot be done.
        """
        steps = self._restoration.found()
        return Streamed(self._events(next(steps), steps, at_end), None, 0, lambda: None)

    def _events(
        self, first: Found, steps: Iterator[Found], at_end: Any
    ) -> Generator[bytes, None, None]:
        """Yield an event for the first step, for some more, and for the end or the error.

        Raises:
            Cut: nobody is there any more, or there is a bug.
        """
        last = first
        try:
            yield _event("step", self._step(first))
            for last in steps:
                if last.step % EVERY == 0:
                    yield _event("step", self._step(last))
            at_end()
            yield _event("end", self._end(last))
        except ClientGone as error:
            raise Cut from error
        except ServingError as error:
            _, _, problem = of_serving_error(error, RESTORE)
            yield _event("error", json.loads(problem))
        except Exception as error:
            log.exception("a restoration is cut off")
            raise Cut from error

    def _step(self, found: Found) -> dict[str, Any]:
        """Return what is told of a step."""
        return {
            "step": found.step,
            "steps": self._wanted.settings.steps,
            "distance": round(self._photograph.distance(found.image), 3),
            "image": _png(to_bytes(found.image)),
        }

    def _end(self, found: Found) -> dict[str, Any]:
        """Return what is told at the end: of the step, and all that can be gone on with."""
        began = perf_counter()
        told = {
            **self._step(found),
            "filled": _png(self._photograph.filled(found.image)),
            "latents": found.latents.tolist(),
            "model": self._model.name,
            "version": self._model.version,
        }
        self._restoration.timings.encode_s += perf_counter() - began
        return told


def _png(image: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    return b64encode(encode_png(image)).decode()


def _event(kind: str, told: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()
