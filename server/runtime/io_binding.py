"""A session whose inputs and outputs stay on the device, in buckets of fixed size allocated once.

A batch is padded to the smallest bucket that holds it, a power of two. On a GPU that leaves nothing
to allocate while it serves, and each bucket's kernels are recorded once, as a CUDA graph, and
launched together. Tests run the same code on the CPU.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

log = logging.getLogger(__name__)

OUT_OF_MEMORY = ("out of memory", "out_of_memory", "failed to allocate memory")
"""The words by which messages tell that a device is full, in small letters."""
DTYPES: dict[str, type] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
"""The types of images, by ONNX Runtime's names."""


def bucket_of(rows: int) -> int:
    """Return the bucket for ``rows`` rows: the power of two that is as many, or the next."""
    return 1 << (rows - 1).bit_length()


def padded(batch: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return ``batch``, float32 [N, latent_dim], with rows of zeros up to ``rows``."""
    if len(batch) == rows:
        return batch
    whole = np.zeros((rows, batch.shape[1]), np.float32)
    whole[: len(batch)] = batch
    return whole


def padded_classes(classes: NDArray[np.int64] | None, rows: int) -> NDArray[np.int64]:
    """Return ``classes``, int64 [N], with class 0 up to ``rows`` rows; None stands for no row."""
    if classes is not None and len(classes) == rows:
        return classes
    whole = np.zeros(rows, np.int64)
    if classes is not None:
        whole[: len(classes)] = classes
    return whole


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether ``error`` says that the device has no memory left."""
    text = str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY)


@dataclass(frozen=True)
class Bucket:
    """Buffers on the device for batches of up to ``rows`` rows."""

    rows: int
    latents: Any
    classes: Any
    """None where the graph takes no classes."""
    images: Any
    binding: Any
    options: Any


class IoBinding:
    """Runs ONNX Runtime's ``session`` on buffers of a ``device``, such as ("cuda", 0).

    With ``graphs``, each bucket is a CUDA graph of its own.
    """

    def __init__(
        self,
        session: Any,
        device: tuple[str, int],
        latent_dim: int,
        image_shape: Sequence[int],
        graphs: bool = False,
    ) -> None:
        self._session = session
        self._device = device
        self._latent_dim = latent_dim
        self._image_shape = tuple(image_shape)
        self._graphs = graphs
        self._input, *classes = (x.name for x in session.get_inputs())
        self._class_input = classes[0] if classes else ""
        images = session.get_outputs()[0]
        self._output, self._dtype = images.name, DTYPES[images.type]
        self._buckets: dict[int, Bucket] = {}
        self.limit: int | None = None
        """The largest bucket that the device has memory for; None while nothing was too large."""

    @property
    def sizes(self) -> list[int]:
        """The buckets that are ready, smallest first."""
        return sorted(self._buckets)

    def prepare(self, largest: int) -> None:
        """Have every bucket up to the one for ``largest`` rows ready, as far as memory goes."""
        rows = 1
        while rows <= min(bucket_of(largest), self.limit or largest * 2):
            self.run(np.zeros((rows, self._latent_dim), np.float32))
            rows *= 2

    def run(
        self, batch: NDArray[np.float32], classes: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return the images of ``batch``, float32 [N, latent_dim] to uint8 [N, H, W, C].

        Those of a graph of float images are float32.

        They are of ``classes``, int64 [N], where the graph takes them. A bucket that the device
        has no memory for is given up for good: the batch is run in halves.

        Raises:
            Exception: what the runtime raised; a single row, too, found no memory.
        """
        if (most := self.limit) and len(batch) > most:
            starts = range(0, len(batch), most)
            parts = [slice(start, start + most) for start in starts]
            return np.concatenate(
                [self.run(batch[x], None if classes is None else classes[x]) for x in parts]
            )
        rows = bucket_of(len(batch))
        try:
            if rows not in self._buckets:
                self._buckets[rows] = self._bucket(rows)
            return self._run(self._buckets[rows], batch, classes)
        except Exception as error:
            if rows == 1 or not is_out_of_memory(error):
                raise
            self._give_up(rows)
        return self.run(batch, classes)

    def _run(
        self, bucket: Bucket, batch: NDArray[np.float32], classes: NDArray[np.int64] | None
    ) -> NDArray[Any]:
        rows = len(batch)
        if bucket.classes is not None:
            bucket.classes.update_inplace(padded_classes(classes, bucket.rows))
        bucket.latents.update_inplace(np.ascontiguousarray(padded(batch, bucket.rows)))
        self._session.run_with_iobinding(bucket.binding, bucket.options)
        images: NDArray[Any] = bucket.images.numpy()
        if not images.flags.owndata:  # the CPU is the device: these are the buffers themselves
            images = images.copy()
        return images[:rows]

    def _bucket(self, rows: int) -> Bucket:
        value = ort.OrtValue.ortvalue_from_shape_and_type
        latents = value([rows, self._latent_dim], np.float32, *self._device)
        images = value([rows, *self._image_shape], self._dtype, *self._device)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, latents)
        classes = value([rows], np.int64, *self._device) if self._class_input else None
        if classes is not None:
            binding.bind_ortvalue_input(self._class_input, classes)
        binding.bind_ortvalue_output(self._output, images)
        options = ort.RunOptions()
        if self._graphs:
            options.add_run_config_entry("gpu_graph_id", str(rows))
        return Bucket(rows, latents, classes, images, binding, options)

    def _give_up(self, rows: int) -> None:
        """Go on without the bucket of ``rows`` rows and larger ones."""
        self._buckets = {size: x for size, x in self._buckets.items() if size < rows}
        self.limit = rows // 2
        log.warning(
            "the device has no memory for %d images at once; from now on %d at most",
            rows,
            self.limit,
        )
