"""What the images should be: the SavedModel, run by TensorFlow."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.convert import IMAGES, LATENTS

ROWS = 64
"""Latents a run: bounds the memory."""

Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Latents float32 [N, latent_dim] to images float32 [N, height, width, channels]."""


def load_reference(saved_model: Path) -> Reference:
    """Return the SavedModel's ``serving_default`` as a function on arrays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # seconds, so only once it is needed

    loaded = tf.saved_model.load(str(saved_model))
    function = loaded.signatures["serving_default"]

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(latents), ROWS):
            batch = tf.constant(latents[start : start + ROWS])
            parts.append(function(**{LATENTS: batch})[IMAGES].numpy())
        return np.concatenate(parts)

    draw.keeps_alive = loaded  # type: ignore[attr-defined]  # its variables die with it
    return draw
