"""ONNX Runtime on one bundle: opened on the first plan that works, self-tested and warmed."""

import ctypes
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.bundle.errors import BundleUnreadable
from server.bundle.files import Bundle
from server.bundle.latents import latents
from server.runtime.io_binding import IoBinding, bucket_of, padded
from server.runtime.plans import Plan, SessionError
from server.runtime.providers import open_provider

log = logging.getLogger(__name__)

EACH_SIZE = 32
"""OpenVINO compiles every batch size it meets and keeps it. Beyond this one they are large (4 MB
each up to 64), so batches are padded to the next of four sizes between two powers of two."""


class Session:
    """One ONNX Runtime session: latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""

    def __init__(self, path: Path, plan: Plan, threads: int, cache: Path | None = None) -> None:
        self.plan = plan
        opened = open_provider(path, plan, threads, cache)
        self._ort = opened.session
        latents, images = self._ort.get_inputs()[0], self._ort.get_outputs()[0]
        self._input, self._outputs = latents.name, [images.name]
        self._io_binding: IoBinding | None = None
        if opened.device:
            shape = images.shape[1:]
            self._io_binding = IoBinding(
                self._ort, opened.device, latents.shape[1], shape, opened.graphs
            )

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the images of ``batch``. The same latents give the same bits in any batch.

        Not so on CUDA, which has other kernels for other sizes.
        """
        if self._io_binding:
            return self._io_binding.run(batch)
        rows = len(batch)
        if self.plan.provider == "openvino" and (size := compiled_size(rows)) > rows:
            batch = padded(batch, size)
        images: NDArray[np.uint8] = self._ort.run(self._outputs, {self._input: batch})[0]
        return images[:rows]

    def warm_up(self, max_batch_size: int, latent_dim: int) -> None:
        """Run the batch sizes that will be served, so that no request pays for the first time.

        OpenVINO compiles each one, and on CUDA each bucket is recorded; the CPU takes a new one as
        it comes.
        """
        if self._io_binding:
            self._io_binding.prepare(max_batch_size)
            return
        size_of = compiled_size if self.plan.provider == "openvino" else bucket_of
        for rows in sorted({size_of(rows) for rows in range(1, max_batch_size + 1)}):
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
        BundleUnreadable: the bundle's volume hangs, or reports errors.
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
        except BundleUnreadable:
            raise
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


def compiled_size(rows: int) -> int:
    """Return the size that OpenVINO runs a batch of ``rows`` rows in: less than a quarter more."""
    if rows <= EACH_SIZE:
        return rows
    step = bucket_of(rows) // 8
    return -(-rows // step) * step
