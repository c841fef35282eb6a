"""One training step of the two networks against each other."""

import keras
import tensorflow as tf

from training.config import TrainConfig
from training.ema import MovingAverage
from training.models import LATENT_DIM, build_discriminator, build_generator


class DCGAN(keras.Model):
    """Generator, discriminator and the averaged generator, trained by ``fit`` on real images.

    Every random number of a step comes from the seed and the step's number, so that a resumed
    run draws what an uninterrupted one would have drawn.
    """

    def __init__(self, config: TrainConfig, policy: str) -> None:
        super().__init__(name="dcgan")
        self.generator = build_generator(policy)
        self.discriminator = build_discriminator(policy, seed=config.seed)
        self.ema_generator = build_generator(policy)
        self.ema_generator.set_weights(self.generator.get_weights())
        self.average = MovingAverage(self.generator, self.ema_generator, config.ema_decay)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.seed = config.seed
        self.flip = config.flip
        self.label_smoothing = config.label_smoothing
        self.loss_fn = keras.losses.BinaryCrossentropy()
        names = ("d_loss", "g_loss", "d_real", "d_fake")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        self.g_optimizer = _adam(config, policy)
        self.d_optimizer = _adam(config, policy)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.compile(jit_compile=False)  # XLA was three times slower on the CPU

    @property
    def dropout_state(self) -> tf.Variable:
        """The counter that the discriminator's dropout draws its random numbers from."""
        layers = self.discriminator.layers
        (dropout,) = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
        return dropout.seed_generator.state.value

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def train_step(self, data: tuple[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Train both networks on one batch: ``(images,)``, float32 [N, 32, 32, 3] in [-1, 1]."""
        (images,) = data
        rows = tf.shape(images)[0]
        if self.flip:
            images = self._flip(images)
        # Real and fake images go in batches of their own: each has batch statistics of its own.
        d_loss, d_real, d_fake = self._train_discriminator(images, self._latents(rows, 1))
        g_loss = self._train_generator(self._latents(rows, 2))
        self.average.update(self.step)
        self.step.assign_add(1)
        values = {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": d_fake}
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _train_discriminator(self, images: tf.Tensor, latents: tf.Tensor) -> tuple[tf.Tensor, ...]:
        fakes = self.generator(latents, training=True)
        with tf.GradientTape() as tape:
            real = self.discriminator(images, training=True)
            fake = self.discriminator(fakes, training=True)
            smooth = tf.ones_like(real) * (1.0 - self.label_smoothing)
            loss = self.loss_fn(smooth, real) + self.loss_fn(tf.zeros_like(fake), fake)
            scaled = self.d_optimizer.scale_loss(loss)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return loss, tf.reduce_mean(real), tf.reduce_mean(fake)

    def _train_generator(self, latents: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            judged = self.discriminator(self.generator(latents, training=True), training=True)
            loss = self.loss_fn(tf.ones_like(judged), judged)
            scaled = self.g_optimizer.scale_loss(loss)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return loss

    def _latents(self, rows: tf.Tensor, purpose: int) -> tf.Tensor:
        return tf.random.stateless_normal((rows, LATENT_DIM), self._draw(purpose))

    def _flip(self, images: tf.Tensor) -> tf.Tensor:
        coin = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), self._draw(3)) < 0.5
        return tf.where(coin, images, tf.reverse(images, axis=[2]))

    def _draw(self, purpose: int) -> tf.Tensor:
        return tf.stack([tf.constant(self.seed, tf.int64), self.step * 4 + purpose])


def _adam(config: TrainConfig, policy: str) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.Adam(config.learning_rate, beta_1=config.beta_1)
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam
