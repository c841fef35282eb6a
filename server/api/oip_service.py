"""The core of the Open Inference Protocol v2 for REST and gRPC: inference, and what is served.

Nothing here knows of HTTP, nor how a message is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.api import oip_documents as documents
from server.api.generate import EncodedAnswer, ImageService, Timings
from server.api.oip_documents import Document
from server.api.oip_tensors import IMAGES, IMAGES_FLOAT, NUMBER_BYTES, OUTPUTS, LatentsShape
from server.api.sources import MAX_N
from server.bundle.classes import Named, NamedEach
from server.bundle.manifest import Manifest
from server.codecs.formats import Format
from server.errors import DeadlineExceeded, InvalidRequest, ServingError
from server.ipc.catalog import Entry
from server.ipc.sources import Latents
from server.observability.inference_statistics import InferenceCounts, ModelStatistics, gathered
from server.worker.engine_client import EngineClient
from server.worker.request_terms import RequestTerms

MOST_JSON = 2**25
"""The bytes of float images in JSON that an answer has at most: an HTTP worker holds them twice."""
FLOAT_DIGITS = 13
"""The bytes that a float takes in JSON, roughly."""
CLASS_BYTES = 4
"""The bytes of a row's class in the arena."""
JSON_NUMBER_BYTES = 32
"""The bytes of JSON that a number has at most: one of 17 digits, sign, exponent and comma."""


class WantedOutput(NamedTuple):
    """An output that a caller wants, and how."""

    name: str = IMAGES
    is_binary: bool = True
    """Whether the numbers come as bytes, or in JSON."""

    @property
    def form(self) -> Format:
        """The format of the output."""
        output = OUTPUTS[self.name]
        return output.binary if self.is_binary else output.json


@dataclass(slots=True)
class InferRequest:
    """What a caller wants to have drawn, and how it wants to be answered."""

    latents: NDArray[np.float32]
    """float32 [n, latent_dim]."""
    request_id: str = ""
    """The caller's name for the request, which the answer repeats; an empty one is none."""
    outputs: tuple[WantedOutput, ...] = (WantedOutput(),)
    """The outputs in the order of the answer, each once."""
    timeout_s: float | None = None
    """How long the caller waits; None if it does not say."""
    named: Named | NamedEach = None
    """The class of the images, or numbers [n] with that of each, where the model has classes; None
    leaves each to its row."""


@dataclass(slots=True)
class DrawnOutput:
    """One output of an answer, as bytes or as numbers in JSON."""

    wanted: WantedOutput
    encoded: EncodedAnswer
    shape: tuple[int, ...]
    """The shape of the output, with the rows first."""

    @property
    def datatype(self) -> str:
        """The type of the output's numbers."""
        return OUTPUTS[self.wanted.name].datatype


@dataclass(slots=True)
class Inferred:
    """The answer to a request for inference."""

    wanted: InferRequest
    outputs: list[DrawnOutput]
    timings: Timings

    @property
    def model(self) -> str:
        """The model that drew, as ``name/version``."""
        return self.outputs[0].encoded.model

    @property
    def plan(self) -> str:
        """The plan with which the model drew the first output."""
        return self.outputs[0].encoded.plan


class InferService:
    """Answers requests for inference, whose bodies have ``most_bytes`` at most; tells of models.

    ``protocol`` is the name by which the metrics count images.
    """

    def __init__(self, client: EngineClient, most_bytes: int, protocol: str = "oip") -> None:
        self._client = client
        self._most_bytes = most_bytes
        formats = [form for output in OUTPUTS.values() for form in (output.json, output.binary)]
        self._images = ImageService(client, protocol, formats)
        self._counts = InferenceCounts()

    def takes(self, entry: Entry) -> LatentsShape:
        """Return what a model takes in one request, in whatever form: it fits into a body."""
        return self._takes(entry, MAX_N, floats=False)

    def takes_for_floats(self, entry: Entry, is_binary: bool = False) -> LatentsShape:
        """Return what a model takes in one request for float images, as bytes or in JSON."""
        row_bytes = FLOAT_DIGITS * prod(manifest_of(entry).image.shape)
        return self._takes(entry, MAX_N if is_binary else MOST_JSON // row_bytes, floats=True)

    def _takes(self, entry: Entry, most: int, floats: bool) -> LatentsShape:
        latent_dim = manifest_of(entry).latents.dim
        in_a_body = self._most_bytes // (JSON_NUMBER_BYTES * latent_dim)
        of_class = CLASS_BYTES if manifest_of(entry).classes else 0
        given = NUMBER_BYTES * latent_dim, of_class
        in_the_arena = self._client.most_rows(entry, *given, floats=floats)
        return LatentsShape(latent_dim, max(1, min(MAX_N, most, in_a_body, in_the_arena)))

    def infer(
        self,
        read: Callable[[LatentsShape], InferRequest],
        terms: Callable[[], RequestTerms],
        name: str,
        version: str | None,
    ) -> Inferred:
        """Return the images of a request to a model.

        ``read`` returns the request by what the model takes, and ``terms`` returns its terms; both
        may raise, and then the request counts as one that failed.

        Raises:
            ServingError: the request cannot be served, or there are no images.
        """
        began = perf_counter()
        entry = self._client.find(name, version)
        try:
            wanted = read(self.takes(entry))
            self._check_outputs(wanted, entry)
            read_s = perf_counter() - began
            inferred = self._draw(wanted, terms(), name, version)
        except ServingError:
            self._counts.failed(str(entry), perf_counter() - began)
            raise
        took, whole = inferred.timings, perf_counter() - began
        steps = (whole, took.queue_s, read_s, took.infer_s, took.encode_s)
        self._counts.answered(inferred.model, steps)
        return inferred

    def _draw(
        self, wanted: InferRequest, terms: RequestTerms, name: str, version: str | None
    ) -> Inferred:
        """Return the images as they are answered; another output is of the same version."""
        began, source = perf_counter(), Latents(wanted.latents)
        timeout_s = min(terms.timeout_s, wanted.timeout_s or terms.timeout_s)
        drawn: list[DrawnOutput] = []
        for output in wanted.outputs:
            left_s = timeout_s - (perf_counter() - began) if drawn else timeout_s
            if left_s <= 0:
                raise DeadlineExceeded(timeout_s)
            own = terms._replace(timeout_s=left_s) if left_s != terms.timeout_s else terms
            encoded = self._images.answer(source, own, output.form, name, version, wanted.named)
            name, version = encoded.entry.name, encoded.entry.version
            shape = source.n, *manifest_of(encoded.entry).image.shape
            drawn.append(DrawnOutput(output, encoded, shape))
        timings = drawn[0].encoded.timings
        for other in drawn[1:]:
            timings += other.encoded.timings
        return Inferred(wanted, drawn, timings)

    def _check_outputs(self, wanted: InferRequest, entry: Entry) -> None:
        """Check that a model can draw float images of so many rows, if they are wanted.

        Raises:
            InvalidRequest: it cannot.
        """
        of_floats = [output for output in wanted.outputs if output.form.of_floats]
        if of_floats:
            if not manifest_of(entry).has_floats:
                told = f"{IMAGES}: {entry} has no graph of float images"
                raise InvalidRequest("name of an output", IMAGES_FLOAT, told)
            is_binary = all(output.is_binary for output in of_floats)
            self.takes_for_floats(entry, is_binary).check_rows(len(wanted.latents))

    # what is served

    def metadata(self, name: str, version: str | None) -> Document:
        """Return which tensors a model takes and gives.

        Raises:
            ModelNotFound, ModelUnavailable, EngineUnavailable: there is no such model.
        """
        manifest = manifest_of(self._client.find(name, version))
        versions = documents.versions_of(self._client.catalog, name)
        return documents.model_metadata(name, versions, manifest)

    def config(self, name: str, version: str | None) -> Document:
        """Return a model's configuration.

        Raises:
            ModelNotFound, ModelUnavailable, EngineUnavailable: there is no such model.
        """
        entry = self._client.find(name, version)
        most = self.takes(entry).most_rows
        return documents.model_config(name, most, manifest_of(entry), entry.key)

    def statistics(self, name: str | None = None, version: str | None = None) -> Document:
        """Return what the served versions of a model have done, or those of all models.

        Raises:
            ModelNotFound, ModelUnavailable, EngineUnavailable: there is no such model.
        """
        if name is not None:
            self._client.find(name, version)
        entries = [
            x
            for x in self._client.catalog.entries.values()
            if x.manifest and name in (None, x.name) and version in (None, x.version)
        ]
        found = gathered()
        stats = [
            documents.statistics_of(x, found.get((x.name, x.version), ModelStatistics()))
            for x in entries
        ]
        return {"model_stats": stats}


def manifest_of(entry: Entry) -> Manifest:
    """Return the manifest of a bundle that was found."""
    assert entry.manifest is not None  # find has seen to it
    return entry.manifest
