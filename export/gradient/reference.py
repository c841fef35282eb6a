"""TensorFlow's own gradient of a SavedModel's images with respect to its latents.

``python -m export.gradient.reference SAVED_MODEL GIVEN.npz GRADIENT.npy LOW HIGH`` computes it in
a process of its own, as ``export.reference`` does the images.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from export.errors import ReferenceFailed
from export.gradient.proof import Floats, Vjp
from export.operators import what_failed

ROOT = Path(__file__).parents[2]


def load_vjp(saved_model: Path, image_range: tuple[float, float] = (-1.0, 1.0)) -> Vjp:
    """Return the gradient of the generator whose images are taken from ``image_range`` to [-1, 1].

    It is computed in this process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # this import takes seconds

    loaded = tf.saved_model.load(str(saved_model))
    function = loaded.signatures["serving_default"]
    (name,) = function.structured_input_signature[1]
    (output,) = function.structured_outputs
    low, high = image_range
    scale = np.float32(2 / (high - low))

    def vjp(latents: Floats, cotangents: Floats) -> Floats:
        rows = tf.constant(latents)
        with tf.GradientTape() as tape:
            tape.watch(rows)
            images = function(**{name: rows})[output]
        found: Floats = tape.gradient(images, rows, tf.constant(cotangents * scale)).numpy()
        return found

    vjp.keeps_alive = loaded  # type: ignore[attr-defined]  # its variables die with it
    return vjp


def vjp_apart(saved_model: Path, image_range: tuple[float, float]) -> Vjp:
    """Return what ``load_vjp`` does, as a function that runs each call in a process of its own.

    Raises:
        ReferenceFailed: TensorFlow ended with an error.
    """

    def vjp(latents: Floats, cotangents: Floats) -> Floats:
        with tempfile.TemporaryDirectory(prefix="carfront-gradient-") as scratch:
            given, found = Path(scratch) / "given.npz", Path(scratch) / "gradient.npy"
            np.savez(given, latents=latents, cotangents=cotangents)
            command = [sys.executable, "-m", "export.gradient.reference"]
            command += [str(saved_model.resolve()), str(given), str(found), *map(str, image_range)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ReferenceFailed(
                    f"TensorFlow has no gradient of {saved_model} ({what_failed(done.stderr)})"
                )
            gradient: Floats = np.load(found)
            return gradient

    return vjp


def main(argv: list[str]) -> int:
    """Compute the gradient that the command line asks for."""
    saved_model, given, found, low, high = argv
    vjp, arrays = load_vjp(Path(saved_model), (float(low), float(high))), np.load(given)
    np.save(found, vjp(arrays["latents"], arrays["cotangents"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
