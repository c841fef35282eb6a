"""ONNX Runtime on one bundle: opened on the first plan that works, self-tested and warmed."""

import ctypes
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.bundle import Bundle
from server.engine.bound import Bound
from server.engine.plans import Plan, SessionError
from server.engine.providers import open_provider
from server.latents import latents

log = logging.getLogger(__name__)


class Session:
    """One ONNX Runtime session: latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""

    def __init__(self, path: Path, plan: Plan, threads: int, cache: Path | None = None) -> None:
        self.plan = plan
        opened = open_provider(path, plan, threads, cache)
        self._ort = opened.session
        latents, images = self._ort.get_inputs()[0], self._ort.get_outputs()[0]
        self._input, self._outputs = latents.name, [images.name]
        self._bound: Bound | None = None
        if opened.device:
            shape = images.shape[1:]
            self._bound = Bound(self._ort, opened.device, latents.shape[1], shape, opened.graphs)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the images of ``batch``. The same latents give the same bits in any batch.

        Not so on CUDA, which has other kernels for other sizes.
        """
        if self._bound:
            return self._bound.run(batch)
        images: NDArray[np.uint8] = self._ort.run(self._outputs, {self._input: batch})[0]
        return images

    def warm_up(self, max_batch_size: int, latent_dim: int) -> None:
        """Run the batch sizes that will be served, so that no request pays for the first time.

        OpenVINO compiles each one, and on CUDA each bucket is recorded; the CPU takes a new one as
        it comes.
        """
        if self._bound:
            self._bound.prepare(max_batch_size)
            return
        every = 64 if self.plan.provider == "openvino" else 1
        for rows in warm_sizes(max_batch_size, every):
            self.run(np.zeros((rows, latent_dim), np.float32))
            give_back_memory()  # each time: at the end only, the peak is four times as high


def give_back_memory() -> None:
    """Return what is freed to the system: a gigabyte of the 1.3 that two warm sessions hold is."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim:
        trim(0)


def open_session(
    bundle: Bundle, plans: list[Plan], threads: int, cache: Path | None = None
) -> tuple[Session, list[Plan]]:
    """Return a session for the first of ``plans`` that works here, and the plans that did not.

    A plan works when its provider takes the whole graph and draws the golden images. ``cache`` is a
    folder for what a provider compiles.

    Raises:
        SessionError: none of them works; the message has the reason of each.
    """
    failed: list[Plan] = []
    reasons: list[str] = []
    for plan in plans:
        try:
            variant = bundle.manifest.variant(plan.variant)
            if plan.listed_as in variant.refused:
                raise SessionError("its images changed with the batch when the bundle was proven")
            session = Session(bundle.path / variant.file, plan, threads, cache)
            self_test(session, bundle)
            return session, failed
        except Exception as error:  # whatever a provider raises, the next plan may still work
            log.warning("%s in %s cannot serve: %s", plan.provider, plan.precision, error)
            failed.append(plan)
            reasons.append(f"{plan.provider} in {plan.precision}: {error}")
    raise SessionError("no runtime can serve this bundle: " + "; ".join(reasons))


def self_test(session: Session, bundle: Bundle) -> int:
    """Draw the golden seeds and return the largest difference to the golden images, in grey levels.

    Raises:
        SessionError: the difference is more than the manifest's tolerance.
    """
    manifest = bundle.manifest
    images = session.run(latents(manifest.golden.seeds, manifest.latents.dim))
    golden = bundle.golden_images()
    if images.shape != golden.shape or images.dtype != golden.dtype:
        raise SessionError(f"it draws {images.dtype} {images.shape}, not uint8 {golden.shape}")
    worst = int(np.abs(images.astype(np.int16) - golden.astype(np.int16)).max())
    if worst > manifest.golden.tolerance:
        raise SessionError(
            f"its golden images are off by {worst} grey levels "
            f"(tolerance {manifest.golden.tolerance})"
        )
    return worst


def warm_sizes(max_batch_size: int, every: int) -> Iterator[int]:
    """Yield the batch sizes to warm: all up to ``every``, twice as many beyond, the largest."""
    yield from range(1, min(every, max_batch_size) + 1)
    rows = 2 * every
    while rows < max_batch_size:
        yield rows
        rows *= 2
    if max_batch_size > every:
        yield max_batch_size
