"""ONNX Runtime on one bundle: a session, its self-test on the golden images, its warm-up."""

import ctypes
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.bundle.classes import classes_of
from server.bundle.files import Bundle, golden_file
from server.bundle.latents import latents
from server.runtime.io_binding import IoBinding, bucket_of, padded, padded_classes
from server.runtime.plans import Plan, SessionError
from server.runtime.providers import open_provider

EACH_SIZE = 32
"""OpenVINO compiles every batch size it meets and keeps it. Beyond this one they are large (4 MB
each up to 64), so batches are padded to the next of four sizes between two powers of two."""
VALUES = 64 * 64 * 64 * 3
"""The values of the images of one run, 64 of 64x64 in color. A larger image keeps a processor busy
by itself, and the layers that draw it take tens of megabytes."""
HALF_RANGE = 127.5
"""The grey levels from -1 to 0, and from 0 to 1."""
FLOATS_OFF = 0.7
"""The grey levels by which a float image may be off a golden one: half a level by which that was
rounded, and a tenth by which either may be off the network that was exported."""


class Session:
    """One ONNX Runtime session: latents float32 [N, latent_dim] to images uint8 [N, H, W, C].

    The graph of a conditional generator has a second input, the classes int64 [N].
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        threads: int,
        cache: Path | None = None,
        least_rows: int = 1,
        spins: bool = False,
    ) -> None:
        self.plan = plan
        self._least_rows = least_rows
        opened = open_provider(path, plan, threads, cache, spins)
        self._ort = opened.session
        latents, *others = self._ort.get_inputs()
        classes = [x for x in others if x.type == "tensor(int64)"]
        images = self._ort.get_outputs()[0]
        self._input, self._outputs = latents.name, [images.name]
        self._class_input = classes[0].name if classes else ""
        self._io_binding: IoBinding | None = None
        if opened.device and not plan.gradient:
            shape = images.shape[1:]
            self._io_binding = IoBinding(
                self._ort, opened.device, latents.shape[1], shape, opened.graphs
            )

    @property
    def takes_classes(self) -> bool:
        """Whether the generator is a conditional one."""
        return bool(self._class_input)

    def run(
        self, batch: NDArray[np.float32], classes: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return the images of ``batch``, uint8. The same latents give the same bits in any batch.

        They are of ``classes``, int64 [N], or of class 0 in a conditional generator that is given
        none. A batch of fewer than ``least_rows`` rows, in which bits would differ, is padded. On
        CUDA, which has other kernels for other sizes, bits differ.
        """
        if self._io_binding:
            return self._io_binding.run(batch, classes)
        rows = len(batch)
        if rows < self._least_rows:
            batch = padded(batch, self._least_rows)
        if self.plan.provider == "openvino" and (size := compiled_size(rows)) > rows:
            batch = padded(batch, size)
        feeds: dict[str, NDArray[Any]] = {self._input: batch}
        if self._class_input:
            feeds[self._class_input] = padded_classes(classes, len(batch))
        images: NDArray[Any] = self._ort.run(self._outputs, feeds)[0]
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


class FloatSession(Session):
    """One ONNX Runtime session of a graph of float images: float32 [N, H, W, C] in [-1, 1]."""

    def run(
        self, batch: NDArray[np.float32], classes: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return the float images of ``batch``, as ``Session.run`` does.

        The Tanh of ONNX Runtime's own provider gives up to 1.0000002, so images are cut off at 1.
        """
        images = super().run(batch, classes)
        return np.clip(images, -1, 1, out=images)


def give_back_memory() -> None:
    """Return what is freed to the system: a gigabyte of the 1.3 that two warm sessions hold is."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim:
        trim(0)


def most_rows(image_shape: Sequence[int]) -> int:
    """Return how many images of a shape [height, width, channels] a processor draws in one run."""
    return max(1, VALUES // prod(image_shape))


def self_test(session: Session, bundle: Bundle) -> int:
    """Draw the golden seeds and return the largest difference to the golden images, in grey levels.

    A variant with golden images of its own has to draw these, byte for byte.

    Raises:
        SessionError: the difference is more than the manifest's tolerance.
    """
    manifest, images = bundle.manifest, _draw_golden(session, bundle)
    own = golden_file(session.plan.variant)
    golden = bundle.golden_images(own if own in manifest.files else manifest.golden.file)
    tolerance = 0 if own in manifest.files else manifest.golden.tolerance
    if images.shape != golden.shape or images.dtype != golden.dtype:
        raise SessionError(f"it draws {images.dtype} {images.shape}, not uint8 {golden.shape}")
    worst = int(np.abs(images.astype(np.int16) - golden.astype(np.int16)).max())
    if worst > tolerance:
        raise SessionError(
            f"its golden images are off by {worst} grey levels (tolerance {tolerance})"
        )
    return worst


def self_test_floats(session: Session, bundle: Bundle) -> float:
    """Draw the golden seeds as float images and return the largest difference to the golden images.

    Those are of float32 too, and rounded to whole grey levels: that is half a level at most.

    Raises:
        SessionError: the difference is more than ``FLOATS_OFF`` grey levels.
    """
    images, golden = _draw_golden(session, bundle), bundle.golden_images()
    if images.shape != golden.shape or images.dtype != np.float32:
        raise SessionError(f"it draws {images.dtype} {images.shape}, not float32 {golden.shape}")
    worst = float(np.abs((images + np.float32(1)) * np.float32(HALF_RANGE) - golden).max())
    if not worst <= FLOATS_OFF:  # which NaN is not either
        raise SessionError(
            f"its golden images are off by {worst:.3g} grey levels (tolerance {FLOATS_OFF})"
        )
    return worst


def _draw_golden(session: Session, bundle: Bundle) -> NDArray[Any]:
    seeds, rows = bundle.manifest.golden.seeds, most_rows(bundle.manifest.image.shape)
    parts = [seeds[start : start + rows] for start in range(0, len(seeds), rows)]
    return np.concatenate([_draw(session, bundle, part) for part in parts])


def _draw(session: Session, bundle: Bundle, seeds: Sequence[int]) -> NDArray[Any]:
    """Return the images of ``seeds``, each of its own class where the bundle has classes."""
    facts, count = bundle.manifest.latents, len(bundle.manifest.classes)
    batch = latents(seeds, facts.dim, facts.distribution)
    return session.run(batch, classes_of(seeds, count)) if count else session.run(batch)


def compiled_size(rows: int) -> int:
    """Return the size that OpenVINO runs a batch of ``rows`` rows in: less than a quarter more."""
    if rows <= EACH_SIZE:
        return rows
    step = bucket_of(rows) // 8
    return -(-rows // step) * step
