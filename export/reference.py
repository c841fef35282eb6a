"""What the images should be: the SavedModel, run by TensorFlow."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS = 64
"""Latents a run: bounds the memory."""

Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Latents float32 [N, latent_dim] to images float32 [N, height, width, channels]."""


def load_reference(saved_model: Path, image_range: tuple[float, float] = (-1.0, 1.0)) -> Reference:
    """Return the SavedModel's ``serving_default`` as a function on arrays.

    Its images come out in [-1, 1]; ``image_range`` is what the generator draws in.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # seconds, so only once it is needed

    loaded = tf.saved_model.load(str(saved_model))
    function = loaded.signatures["serving_default"]
    (name,) = function.structured_input_signature[1]
    (output,) = function.structured_outputs
    low, high = image_range

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(latents), ROWS):
            batch = tf.constant(latents[start : start + ROWS])
            parts.append(function(**{name: batch})[output].numpy())
        images = np.concatenate(parts)
        if (low, high) == (-1.0, 1.0):
            return images
        centred: NDArray[np.float32] = (2 * images - np.float32(high + low)) / np.float32(
            high - low
        )
        return centred

    draw.keeps_alive = loaded  # type: ignore[attr-defined]  # its variables die with it
    return draw
