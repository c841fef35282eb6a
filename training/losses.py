"""The losses of the two networks, from the discriminator's logits [N, 1]: means over the batch.

Keras's own losses are not used, since they divide by the number of replicas by themselves.
``config.LOSSES`` lists the names of the losses.
"""

import tensorflow as tf


def discriminator_loss(
    name: str, real: tf.Tensor, fake: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """Return the discriminator's loss of the logits of ``real`` and ``fake`` images.

    By ``cross-entropy``, a real image's label is 1 minus ``smoothing``. By ``hinge``, a logit that
    is beyond 1 on its own side teaches nothing.

    Source: Goodfellow et al. 2014; Salimans et al. 2016 (smoothing); Lim and Ye 2017 (hinge).
    """
    if name == "hinge":
        return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))
    return _cross_entropy(1.0 - smoothing, real) + _cross_entropy(0.0, fake)


def generator_loss(name: str, fake: tf.Tensor) -> tf.Tensor:
    """Return the generator's loss of the logits of its images."""
    return -tf.reduce_mean(fake) if name == "hinge" else _cross_entropy(1.0, fake)


def _cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean binary cross-entropy of ``logits`` that should all say ``label``."""
    labels = tf.ones_like(logits) * label
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
