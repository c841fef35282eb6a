"""The core of a restoration: the search for a photograph's latents, drawn by the engines.

Every step is two requests to the engines, for float images and for their gradient. They are bulk
work like any other: they wait behind single images, ride in batches with what others ask for, are
sent again where an engine dies, and count against the limits of the caller's key. Nothing here
knows of HTTP.
"""

from collections.abc import Iterator
from math import prod
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from inversion.losses import LOSSES, Floats
from inversion.photograph import MODES, Photograph
from inversion.search import PART, Found, Settings, search
from server.api.generate import INLINE_VALUES, Timings
from server.bundle.manifest import FLOATS, GRADIENT
from server.errors import (
    DeadlineExceeded,
    NotOffered,
    QueueFull,
    RateExceeded,
    ServingError,
    TooManyInFlight,
)
from server.ipc.catalog import Entry
from server.ipc.sources import Latents
from server.worker.engine_client import EngineClient
from server.worker.request_terms import RequestTerms

LEAST_WAIT_S = 0.05
"""The seconds after which an engine that has refused a step is asked again, at least."""


def check_restores(model: Entry) -> None:
    """Check that photographs can be held against the images of ``model``.

    Raises:
        NotOffered: its images have classes, or are transparent.
    """
    assert model.manifest is not None  # find has seen to it
    if model.manifest.classes:
        raise NotOffered(f"{model} restores no photographs: its images have classes")
    if model.manifest.image.shape[2] not in MODES:
        raise NotOffered(f"{model} restores no photographs: its images have an alpha")


class Restoration:
    """One search, by ``model`` alone, for the image nearest to ``photograph``.

    It has as long as ``terms`` say; ``loss`` is one of ``inversion.losses.LOSSES``.
    """

    def __init__(
        self,
        client: EngineClient,
        model: Entry,
        terms: RequestTerms,
        photograph: Photograph,
        loss: str,
        settings: Settings,
    ) -> None:
        assert model.manifest is not None  # find has seen to it
        facts = model.manifest.latents
        self.timings = Timings(0.0, 0.0, 0.0)
        """How long the steps have waited, and run."""
        self._client = client
        self._model = model
        self._terms = terms._replace(bulk=True)
        self._deadline = monotonic() + terms.timeout_s
        self._loss = LOSSES[loss](photograph)
        self._steps = search(
            self._draw, self._pull, self._held, facts.dim, facts.distribution, settings
        )
        self._has_begun = False
        self._rows = {kind: min(PART, max(1, self._most_rows(kind))) for kind in (FLOATS, GRADIENT)}

    def found(self) -> Iterator[Found]:
        """Yield the nearest image after each step, until all are done or the time is up.

        Raises:
            DeadlineExceeded: the time is up before the first.
            ModelGone: the model is not served any more.
            ServingError: the engines cannot do a step.
        """
        try:
            yield from self._steps
        except DeadlineExceeded:
            if not self._has_begun:
                raise

    # what the search asks for

    def _held(self, images: Floats) -> tuple[Floats, Floats]:
        """Return the loss of ``images``; other callers need not wait for that of large ones."""
        if images.size <= INLINE_VALUES:
            return self._loss(images)
        return self._client.loop.in_thread(self._loss, images)

    def _draw(self, latents: Floats) -> Floats:
        return self._asked(latents, FLOATS)

    def _pull(self, latents: Floats, cotangents: Floats) -> Floats:
        self._has_begun = True  # the first step has been yielded
        rows = np.concatenate([latents, cotangents.reshape(len(latents), -1)], axis=1)
        return self._asked(rows, GRADIENT)

    def _asked(self, rows: Floats, kind: str) -> NDArray[np.float32]:
        """Return what the graph of that ``kind`` gives for ``rows``, as many as fit at a time."""
        size = self._rows[kind]
        parts = [self._part(rows[i : i + size], kind) for i in range(0, len(rows), size)]
        return np.concatenate(parts)

    def _part(self, rows: Floats, kind: str) -> NDArray[np.float32]:
        while True:
            left_s = self._deadline - monotonic()
            if left_s <= 0:
                raise DeadlineExceeded(self._terms.timeout_s)
            terms = self._terms._replace(timeout_s=left_s)
            try:
                with self._client.generate_with(
                    self._model, Latents(rows), terms, kind=kind
                ) as generated:
                    self.timings.queue_s += generated.queue_s
                    self.timings.infer_s += generated.infer_s
                    return np.array(generated.images)
            except (QueueFull, RateExceeded, TooManyInFlight) as refusal:
                if not self._has_begun:  # the caller can ask again by itself
                    raise
                self._pause(min(_wait_s(refusal), left_s))

    def _pause(self, seconds: float) -> None:
        waiter = self._client.loop.waiter()
        stop = self._client.loop.call_later(seconds, waiter.wake, None)
        try:
            waiter.wait()
        finally:
            stop()

    def _most_rows(self, kind: str) -> int:
        assert self._model.manifest is not None
        facts = self._model.manifest
        width = facts.latents.dim + (prod(facts.image.shape) if kind == GRADIENT else 0)
        return self._client.most_rows(self._model, 4 * width, floats=True)


def _wait_s(refusal: ServingError) -> float:
    """Return the seconds after which what was refused is worth asking for again."""
    if isinstance(refusal, QueueFull):
        return max(LEAST_WAIT_S, refusal.queue.retry_after_s)
    return max(LEAST_WAIT_S, getattr(refusal, "wait_s", LEAST_WAIT_S))
