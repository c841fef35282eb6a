"""A perceptual loss: how far the features of images are off a photograph's, where that is seen.

The features are the classifier's, after each of its three stages of convolutions.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inversion.losses import Floats, Loss
from inversion.photograph import Photograph
from training.data.cifar10_files import SIDE
from training.evaluation.classifier import load
from training.evaluation.runs import RunError


def with_features(loss: Loss, photograph: Photograph, weight: float) -> Loss:
    """Return ``loss`` with the mean square of differences in features, by ``weight``, added.

    Raises:
        RunError: the images have not the size of those that the classifier knows.
    """
    if photograph.pixels.shape != (SIDE, SIDE, 3):
        raise RunError(f"--perceptual wants images of {SIDE}x{SIDE} in color")
    features = _stages(load())
    shown = tf.constant(photograph.shown)
    wanted = features(tf.constant(photograph.values[np.newaxis]) * shown)
    means = [tf.reduce_mean(tf.square(x)) for x in wanted]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def off(images: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            drawn = features(images * shown)
            parts = [
                tf.reduce_mean(tf.square(x - y), axis=[1, 2, 3]) / mean
                for x, y, mean in zip(drawn, wanted, means, strict=True)
            ]
            losses = weight * tf.add_n(parts) / len(parts)
        return losses, tape.gradient(losses, images)

    def both(images: Floats) -> tuple[Floats, Floats]:
        losses, slopes = loss(images)
        more, steeper = off(tf.constant(images))
        return losses + more.numpy(), slopes + steeper.numpy()

    return both


def _stages(network: keras.Model) -> Any:
    """Return the function from images in [-1, 1] to the last activations of each stage."""
    last: dict[int, Any] = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.ReLU):
            last[layer.output.shape[1]] = layer.output
    stages = keras.Model(network.inputs, list(last.values()))
    return lambda images: stages((images + 1) * 127.5, training=False)
