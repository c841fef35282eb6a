"""One training step of the two networks against each other."""

import time
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from training.augment import augment
from training.config import TrainConfig
from training.ema import MovingAverage
from training.losses import discriminator_loss, generator_loss
from training.models import LATENT_DIM, build_discriminator, build_generator

Losses = tuple[tf.Tensor, ...]
Batch = tuple[tf.Tensor]

PURPOSES = 16
"""The number of random draws that a step may make, each of which has a number of its own."""


class DCGAN(keras.Model):  # type: ignore[misc]
    """Generator, discriminator and the averaged generator, trained by ``fit`` on real images.

    Every random number of a step comes from the seed, the replica and the step's number, so that
    a resumed run draws the same numbers as an uninterrupted one. The model must be built in the
    scope of the strategy that trains it.
    """

    train_function: Any
    """The function that ``fit`` calls for every step; None until it is built."""

    def __init__(self, config: TrainConfig, policy: str) -> None:
        super().__init__(name="dcgan")
        self.config = config
        self.generator = build_generator(policy, config.size)
        self.discriminator = build_discriminator(policy, config.size, seed=config.seed)
        # The features are the input of the discriminator's last layer, the probability.
        self.features = keras.Model(
            self.discriminator.inputs, self.discriminator.layers[-2].output, name="features"
        )
        self.ema_generator = build_generator(policy, config.size)
        self.ema_generator.set_weights(self.generator.get_weights())
        self.average = MovingAverage(self.generator, self.ema_generator, config.ema_decay)
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="step",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self.waited_s = 0.0
        """The seconds that steps have waited for their images."""
        self.replicas = tf.distribute.get_strategy().num_replicas_in_sync
        names = ("d_loss", "g_loss", "d_real", "d_fake")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        self.g_optimizer = _adam(config.learning_rate, config.beta_1, policy)
        self.d_optimizer = _adam(
            config.discriminator_learning_rate or config.learning_rate, config.beta_1, policy
        )
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.built = True  # the model has no ``call`` with which Keras could build it
        self.compile(jit_compile=False)  # XLA was three times slower on the CPU

    @property
    def dropout_state(self) -> tf.Variable:
        """The counter from which the discriminator's dropout draws its random numbers."""
        layers = self.discriminator.layers
        (dropout,) = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
        return dropout.seed_generator.state.value

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def set_rates(self, factor: float) -> None:
        """Train with ``factor`` times the settings' learning rates from now on."""
        config = self.config
        self.g_optimizer.learning_rate = factor * config.learning_rate
        self.d_optimizer.learning_rate = factor * (
            config.discriminator_learning_rate or config.learning_rate
        )

    def make_train_function(self, force: bool = False) -> None:
        """Build the function of one step, which measures how long it waits for its images."""
        if self.train_function is None or force:
            strategy = self.distribute_strategy

            @tf.function  # type: ignore[untyped-decorator]
            def step(batch: Batch, penalized: bool) -> dict[str, tf.Tensor]:
                numbers = strategy.run(self.train_step, args=(batch, penalized))
                return {name: strategy.reduce("MEAN", x, axis=None) for name, x in numbers.items()}

            self.train_function = lambda batches: step(self._next(batches), self._is_penalized())

    def _next(self, batches: Iterator[Batch]) -> Batch:
        began = time.perf_counter()
        batch = next(batches)
        self.waited_s += time.perf_counter() - began
        return batch if isinstance(batch, tuple) else (batch,)

    def _is_penalized(self) -> bool:
        """Return whether the next step has a penalty, which is decided outside of the graph.

        Replicas cannot agree on their batch statistics within a branch of a graph.
        """
        config = self.config
        return bool(config.r1_weight) and int(self.step.numpy()) % config.r1_every == 0

    def train_step(self, data: Batch, penalized: bool = False) -> dict[str, tf.Tensor]:
        """Train both networks on one batch: ``(images,)``, float32 [N, H, W, 3] in [-1, 1]."""
        (images,) = data
        rows = tf.shape(images)[0]
        if self.config.flip:
            images = self._flip(images)
        # Real and fake images have separate batches, and so batch statistics of their own.
        latents = self._latents(rows, 1)
        d_loss, d_real, d_fake = self._train_discriminator(images, latents, penalized)
        g_loss = self._train_generator(self._latents(rows, 2))
        self.average.update(self.step)
        self.step.assign_add(1)
        values = {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": d_fake}
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _train_discriminator(
        self, images: tf.Tensor, latents: tf.Tensor, penalized: bool = False
    ) -> Losses:
        config = self.config
        fakes = self.generator(latents, training=True)
        with tf.GradientTape() as tape:
            real, penalty = self._judge_real(images, penalized)
            fake = self._judge(fakes, 5)
            loss = discriminator_loss(config.loss, real, fake, config.label_smoothing)
            scaled = self._scaled(self.d_optimizer, loss + penalty)
        _apply(self.d_optimizer, tape, scaled, self.discriminator)
        return loss, tf.reduce_mean(tf.sigmoid(real)), tf.reduce_mean(tf.sigmoid(fake))

    def _train_generator(self, latents: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            judged = self._judge(self.generator(latents, training=True), 6)
            loss = generator_loss(self.config.loss, judged)
            scaled = self._scaled(self.g_optimizer, loss)
        _apply(self.g_optimizer, tape, scaled, self.generator)
        return loss

    def _judge_real(self, images: tf.Tensor, penalized: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the logits of real images, and the R1 penalty on their gradients.

        A penalty of every n-th step counts n times.
        """
        if not penalized:
            return self._judge(images, 4), tf.constant(0.0)
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self._judge(images, 4)
        steepness = tf.reduce_sum(tape.gradient(logits, images) ** 2, axis=(1, 2, 3))
        weight = self.config.r1_weight * self.config.r1_every / 2.0
        return logits, weight * tf.reduce_mean(steepness)

    def _judge(self, images: tf.Tensor, purpose: int) -> tf.Tensor:
        """Return the discriminator's logits [N, 1], before its last layer's sigmoid."""
        images = augment(images, self.config.augment, self._draw(purpose))
        last = self.discriminator.layers[-1]
        features = tf.cast(self.features(images, training=True), tf.float32)
        return features @ last.kernel + last.bias

    def _scaled(self, optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
        return optimizer.scale_loss(loss / self.replicas)  # the replicas' gradients are summed

    def _latents(self, rows: tf.Tensor, purpose: int) -> tf.Tensor:
        return tf.random.stateless_normal((rows, LATENT_DIM), self._draw(purpose))

    def _flip(self, images: tf.Tensor) -> tf.Tensor:
        coin = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), self._draw(3)) < 0.5
        return tf.where(coin, images, tf.reverse(images, axis=[2]))

    def _draw(self, purpose: int) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group, tf.int64) * 2**32
        return tf.stack([replica + self.config.seed, self.step * PURPOSES + purpose])


def _apply(
    optimizer: keras.optimizers.Optimizer,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    network: keras.Model,
) -> None:
    variables = network.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def _adam(rate: float, beta_1: float, policy: str) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.Adam(rate, beta_1=beta_1)
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam
