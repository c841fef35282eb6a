"""Images from a bundle on this machine, without a server.

This module alone imports the server's runtime: from a checkout, or from where it is installed.
"""

import importlib.util
import queue
import sys
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carfront.datasets.index import Lineage
from carfront.errors import BadRequest, DataSetError
from carfront.server_folder import HOME, find_server

if TYPE_CHECKING:
    from server.bundle.files import Bundle
    from server.runtime.session import Session

ROWS = 64
"""The images of one inference on a processor, fewer if they are large."""
ROWS_ON_GPU = 1024
BLOCK_IMAGES, BLOCK_BYTES = 256, 8_000_000
"""A block has as many images, or bytes of images, at most; on a GPU a batch."""
SESSIONS = 8
"""The sessions at most; more processors are more threads of each."""
SESSIONS_ON_GPU = 2
"""One computes while the images of the other are copied."""


class BundleSource:
    """Draws with the bundle in the folder ``path``, on all processors, or on the GPU.

    The images are those that the server draws by the same plan, byte for byte.

    Raises:
        DataSetError: there is no such bundle, or nothing here that runs it.
        BadRequest: the bundle has no such class.
    """

    def __init__(
        self,
        path: Path,
        provider: str = "auto",
        precision: str = "auto",
        truncation: float = 1.0,
        class_: str | None = None,
    ) -> None:
        import_server(path)
        from server.bundle.classes import class_id
        from server.bundle.errors import BundleError
        from server.bundle.files import load_bundle
        from server.errors import InvalidRequest
        from server.runtime.plans import SessionError

        try:
            bundle = load_bundle(path)
            self._sessions = _sessions(bundle, provider, precision)
            self._class = class_id(bundle.manifest.classes, class_, bundle.manifest.name)
        except InvalidRequest as error:
            raise BadRequest(400, str(error)) from error
        except (BundleError, SessionError) as error:
            raise DataSetError(str(error)) from error
        manifest = bundle.manifest
        plan = self._sessions[0].plan
        self._latents = manifest.latents
        self._classes = len(manifest.classes)
        height, width, channels = manifest.image.shape
        self.shape = height, width, channels
        self._truncation = np.float32(truncation)
        self._rows = ROWS_ON_GPU if plan.on_gpu else _rows(manifest.image.shape)
        self._idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
        for session in self._sessions:
            self._run(session, np.zeros((self._rows, self._latents.dim), np.float32), range(1))
            self._idle.put(session)
        self.parallel = len(self._sessions)
        fit = min(BLOCK_IMAGES, BLOCK_BYTES // prod(self.shape))
        self.block = max(1, fit // self._rows) * self._rows
        self.lineage = Lineage(
            manifest.name,
            manifest.version,
            str(plan),
            manifest.latents.rule,
            f"{bundle.key:016x}",
            truncation,
            class_,
        )

    def draw(self, seeds: range) -> NDArray[np.uint8]:
        """Return the images of ``seeds`` as uint8 [n, height, width, channels]."""
        from server.bundle.latents import latents

        images = np.empty((len(seeds), *self.shape), np.uint8)
        session = self._idle.get()
        try:
            for start in range(0, len(seeds), self._rows):
                part = seeds[start : start + self._rows]
                batch = latents(part, self._latents.dim, self._latents.distribution)
                if self._truncation != 1:
                    batch *= self._truncation
                images[start : start + len(part)] = self._run(session, batch, part)
        finally:
            self._idle.put(session)
        return images

    def close(self) -> None:
        """Do nothing: a batch is soon done."""

    def _run(
        self, session: "Session", batch: NDArray[np.float32], seeds: range
    ) -> NDArray[np.uint8]:
        """Return the images of ``batch``, each of the wanted class or of its seed's.

        A batch that is not full is padded: runtimes compile every size that they meet.
        """
        from server.bundle.classes import classes_of
        from server.runtime.io_binding import padded, padded_classes

        whole = padded(batch, self._rows)
        if not self._classes:
            return session.run(whole)[: len(seeds)]
        own = classes_of(seeds, self._classes)
        if self._class >= 0:
            own[:] = self._class
        return session.run(whole, padded_classes(own, self._rows))[: len(seeds)]


def _sessions(bundle: "Bundle", provider: str, precision: str) -> list["Session"]:
    """Return proven sessions that together use all processors that there are, or the GPU."""
    from server.cpus import available_cpus
    from server.runtime.open_session import open_session
    from server.runtime.plans import choose_plans

    cpus = available_cpus()
    threads = shared_out(cpus, min(cpus, SESSIONS))
    plans = choose_plans(provider, precision, bundle.manifest)
    first, _ = open_session(bundle, plans, threads[0])
    if first.plan.on_gpu:
        threads = threads[:1] * SESSIONS_ON_GPU
    others = [open_session(bundle, [first.plan], each)[0] for each in threads[1:]]
    return [first, *others]


def shared_out(whole: int, count: int) -> list[int]:
    """Return ``whole`` in ``count`` parts that are as equal as can be, the larger ones first."""
    each, more = divmod(whole, count)
    return [each + (number < more) for number in range(count)]


def _rows(image_shape: list[int]) -> int:
    from server.runtime.session import most_rows

    return min(ROWS, most_rows(image_shape))


def count_gpus(provider: str) -> int:
    """Return how many GPUs are drawn on with ``provider``; 1 where none is."""
    from server.observability import gpus

    return gpus.engines_for(provider)


def take_gpu(number: int) -> None:
    """Leave this process the GPU of that number alone."""
    from server.observability import gpus

    gpus.take(number)


def import_server(bundle: Path) -> None:
    """Have the server's packages importable: installed, or from a checkout near by.

    Raises:
        DataSetError: they are not to be found.
    """
    if importlib.util.find_spec("server") is None:
        if (found := find_server(None, bundle)) is None:
            raise DataSetError(
                "there is no runtime to draw a bundle with: wanted a checkout of Carfront, "
                f"in whose folder the command runs or which {HOME} names"
            )
        sys.path.insert(0, str(found))
    if importlib.util.find_spec("onnxruntime") is None:
        raise DataSetError(
            "onnxruntime is not installed: pip install --require-hashes -r requirements/serve.txt"
        )
