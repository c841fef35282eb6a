"""The SavedModel that every later stage reads: flat latents in, images with channels last out."""

from pathlib import Path
from typing import Any

import numpy as np

from export.convert import CLASSES, LATENTS
from export.errors import SourceRefused
from export.rows import RowFacts
from export.sources.bounds import bounds
from export.sources.images import Layout, layout_of, range_of
from export.sources.signature import Signature
from server.bundle.latents import latents

SEEDS = 64
"""The number of images that are drawn to see their shape and their values."""


def write_saved_model(signature: Signature, asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``signature`` as a SavedModel into ``folder``, and return the facts of the generator.

    Raises:
        SourceRefused: what it draws are no images that can be served.
    """
    import tensorflow as tf

    dim, path = signature.latent_dim, signature.path
    condition = signature.condition
    facts = RowFacts(dim, asked["latents"] or "normal", condition.count if condition else 0)
    drawn = _drawn(signature, facts)
    layout = layout_of(drawn.shape[1:], asked["layout"], path)
    module = tf.Module()
    module.loaded = signature.loaded  # whose variables are saved with the function
    inputs = [tf.TensorSpec((None, dim), tf.float32, name=LATENTS)]
    if condition:
        inputs.append(tf.TensorSpec((None,), tf.int64, name=CLASSES))
    module.draw = tf.function(
        lambda *inputs: {"images": _images(signature, layout, *inputs)}, input_signature=inputs
    )
    function = module.draw.get_concrete_function()
    asked_range = asked["image_range"] and tuple(asked["image_range"])
    low, high = range_of(bounds(function), drawn.astype(np.float32), asked_range, path)
    tf.saved_model.save(module, str(folder), {"serving_default": function})
    return {
        "signature": signature.name,
        "latent_dim": dim,
        "image_shape": layout.shape,
        "image_range": (low, high),
        "class_count": facts.class_count,
        "class_is": condition and condition.form,
    }


def _images(signature: Signature, layout: Layout, latents: Any, classes: Any = None) -> Any:
    """Return the images of ``latents``, float32 [batch, latent_dim], as [batch, *layout.shape]."""
    import tensorflow as tf

    images = signature.images(latents, classes)
    if layout.channels_first:
        images = tf.transpose(images, (0, 2, 3, 1))
    if not layout.has_channels:
        images = tf.expand_dims(images, -1)
    images = tf.cast(images, tf.float32)
    images.set_shape((None, *layout.shape))
    return images


def _drawn(signature: Signature, facts: RowFacts) -> np.ndarray[Any, Any]:
    """Return the images of some seeds, of the first to the last class, as the generator gives them.

    Raises:
        SourceRefused: it draws none, another number, or others each time.
    """
    import tensorflow as tf

    some = latents(range(SEEDS), facts.latent_dim, facts.distribution)
    last = max(facts.class_count - 1, 0)
    inputs = [tf.constant(some), tf.constant(np.linspace(0, last, SEEDS).round().astype(np.int64))]
    try:
        drawn, again = (signature.images(*inputs).numpy() for _ in range(2))
    except Exception as error:  # whatever the network's operations raise
        told = " ".join(str(error).split())[:300]
        raise SourceRefused(
            f"{signature.path} cannot draw {SEEDS} images on this host's processor ({told}); see "
            "that it draws any number of images, on a CPU"
        ) from error
    if drawn.ndim < 2 or len(drawn) != SEEDS:
        raise SourceRefused(
            f"{signature.path} gives {[*drawn.shape]} for {SEEDS} latents; wanted an image for each"
        )
    if not np.allclose(drawn, again, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise SourceRefused(
            f"{signature.path} draws other images of the same latents each time: make its noise an "
            "input's part or a constant, so that an image's name is its seed"
        )
    return np.asarray(drawn)
