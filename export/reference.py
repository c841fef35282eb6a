"""The reference, which draws what the images should be: the SavedModel, run by TensorFlow.

``python -m export.reference SAVED_MODEL LATENTS.npy IMAGES.npy LOW HIGH`` draws images in a process
of its own, where nothing that ONNX Runtime and its providers load or set can reach TensorFlow.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.convert import CLASSES, LATENTS
from export.errors import ReferenceFailed
from export.operators import what_failed
from export.rows import inputs_of

ROWS, VALUES = 64, 2**22
"""The latents in a run, and the values of its images, at most: they bound the memory."""

Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The function from latents float32 [N, latent_dim] to images float32 [N, height, width, channels],
which are in [-1, 1]. A conditional generator's takes rows with classes, see ``export.rows``."""


def load_reference(saved_model: Path, image_range: tuple[float, float] = (-1.0, 1.0)) -> Reference:
    """Return the SavedModel's ``serving_default`` as a function on arrays.

    ``image_range`` is the range in which the generator draws; the result's images are in [-1, 1].
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # this import takes seconds

    loaded = tf.saved_model.load(str(saved_model))
    function = loaded.signatures["serving_default"]
    names = [*function.structured_input_signature[1]]
    if len(names) > 1:
        names = [LATENTS, CLASSES]
    (output,) = function.structured_outputs
    low, high = image_range
    shape = function.structured_outputs[output].shape[1:]
    rows = max(1, min(ROWS, VALUES // (shape.num_elements() or 1)))

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(latents), rows):
            inputs = inputs_of(latents[start : start + rows], len(names) > 1)
            tensors = dict(zip(names, map(tf.constant, inputs), strict=True))
            parts.append(function(**tensors)[output].numpy())
        images = np.concatenate(parts)
        if (low, high) == (-1.0, 1.0):
            return images
        centred: NDArray[np.float32] = (2 * images - np.float32(high + low)) / np.float32(
            high - low
        )
        return centred

    draw.keeps_alive = loaded  # type: ignore[attr-defined]  # its variables die with it
    return draw


def apart(saved_model: Path, image_range: tuple[float, float] = (-1.0, 1.0)) -> Reference:
    """Return the reference that runs each call in a process of its own.

    Raises:
        ReferenceFailed: TensorFlow ended with an error.
    """

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory(prefix="carfront-reference-") as scratch:
            asked, drawn = Path(scratch) / "latents.npy", Path(scratch) / "images.npy"
            np.save(asked, latents)
            command = [sys.executable, "-m", "export.reference", str(saved_model.resolve())]
            command += [str(asked), str(drawn), *map(str, image_range)]
            root = Path(__file__).parents[1]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ReferenceFailed(
                    f"TensorFlow cannot draw with {saved_model} ({what_failed(done.stderr)}); "
                    "see that it draws where it was saved, and save it anew"
                )
            images: NDArray[np.float32] = np.load(drawn)
            return images

    return draw


def once(reference: Reference) -> Reference:
    """Return ``reference`` with a memory of its last call: the same latents are drawn once."""
    drawn: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        if not drawn or not np.array_equal(drawn[0][0], latents):
            drawn[:] = [(latents, reference(latents))]
        return drawn[0][1]

    return draw


def main(argv: list[str]) -> int:
    """Draw as the command line says."""
    saved_model, asked, drawn, low, high = argv
    draw = load_reference(Path(saved_model), (float(low), float(high)))
    np.save(drawn, draw(np.load(asked)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
