"""The averaged generator: a slow copy of the generator, steadier than any single step of it.

Source: Yazici et al. 2019, "The Unusual Effectiveness of Averaging in GAN Training".
"""

import keras
import tensorflow as tf

PASS = 256
"""The number of latents in one forward pass that measures BatchNormalization's statistics."""


class MovingAverage:
    """Keeps an exponential moving average of one network's trainable weights in another.

    In early steps the decay is only ``(1 + step) / (10 + step)``, so that the random first weights
    do not linger.
    """

    def __init__(self, source: keras.Model, target: keras.Model, decay: float) -> None:
        self.source = source
        self.target = target
        self.decay = decay

    def update(self, step: tf.Tensor) -> None:
        """Move the average by one step, which counts from 0; each replica calls this once."""
        tf.distribute.get_replica_context().merge_call(self._update, args=(step,))

    def _update(self, strategy: tf.distribute.Strategy, step: tf.Tensor) -> None:
        """Move the average on every replica's device, from the weights on that device."""
        weights = zip(self.target.trainable_variables, self.source.trainable_variables, strict=True)
        for average, weight in weights:
            strategy.extended.update(average.value, self._move, args=(weight.value, step))

    def _move(self, average: tf.Variable, weight: tf.Tensor, step: tf.Tensor) -> None:
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        average.assign(decay * average + (1.0 - decay) * weight)


def estimate_batch_statistics(generator: keras.Model, passes: int, seed: int = 0) -> None:
    """Measure BatchNormalization's means and variances under the weights the generator has now.

    Averaging the moving statistics along with the weights gives statistics that fit no network: the
    images were nearly twice as far from real ones as those of the network that is averaged. Each
    pass runs ``PASS`` latents in training mode; the result is the plain mean over all passes.
    """
    norms = [x for x in generator.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for k in range(passes):
        for norm in norms:
            norm.momentum = k / (k + 1)
        latents = tf.random.stateless_normal((PASS, generator.input_shape[-1]), (seed, k))
        generator(latents, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
