"""A step does what its settings say, alone and on several devices."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.config import TrainConfig
from training.gan import DCGAN

ROOT = Path(__file__).parents[2]
MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)

from pathlib import Path
from training.batches import Batches
from training.config import TrainConfig
from training.gan import DCGAN
from training.hardware import choose_strategy

strategy = choose_strategy("mirrored")
with strategy.scope():
    gan = DCGAN(TrainConfig(out=Path("unused"), seed=5), "float32")
before = [w.numpy() for w in gan.generator.trainable_variables]
images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
batches = Batches(images, 16, seed=0, epoch=0)
fitted = gan.fit(batches, epochs=2, shuffle=False, verbose=0)
latents = strategy.run(lambda: gan._latents(4, 1))
networks = (gan.generator, gan.discriminator, gan.ema_generator)
copies = [
    [c.numpy() for c in strategy.experimental_local_results(w.value)]
    for network in networks
    for w in network.trainable_variables
]
print(json.dumps({
    "replicas": gan.replicas,
    "step": int(gan.step.numpy()),
    "alike": all(np.array_equal(a, b) for a, b in copies),
    "copies": len(copies[0]),
    "moved": all((w.numpy() != b).any() for w, b in zip(gan.generator.trainable_variables, before)),
    "latents_differ": bool((latents.values[0].numpy() != latents.values[1].numpy()).all()),
    "d_loss": fitted.history["d_loss"][0],
}))
"""


def gan(**settings):
    tf.keras.utils.set_random_seed(0)
    return DCGAN(TrainConfig(out=Path("unused"), **settings), "float32")


@pytest.fixture(scope="module")
def images(photographs):
    return tf.constant(photographs[:16].astype(np.float32) / 127.5 - 1.0)


def test_logits_are_what_the_discriminator_makes_its_probability_of(images):
    model = gan()
    keras_says = model.discriminator(images, training=False)
    last = model.discriminator.layers[-1]
    logits = model.features(images, training=False) @ last.kernel + last.bias
    np.testing.assert_allclose(tf.sigmoid(logits), keras_says, rtol=1e-5)


def test_losses_are_keras_own_binary_cross_entropy(images):
    model = gan(label_smoothing=0.1, flip=False)
    fakes = model.generator(model._latents(16, 1), training=True)
    dropout = model.dropout_state.numpy()
    real = model.discriminator(images, training=True)
    fake = model.discriminator(fakes, training=True)
    entropy = tf.keras.losses.BinaryCrossentropy()
    wanted = entropy(np.full((16, 1), 0.9), real) + entropy(np.zeros((16, 1)), fake)
    model.dropout_state.assign(dropout)
    found, d_real, d_fake = model._train_discriminator(images, model._latents(16, 1))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    assert float(d_real) == pytest.approx(float(tf.reduce_mean(real)), rel=1e-5)
    assert float(d_fake) == pytest.approx(float(tf.reduce_mean(fake)), rel=1e-5)


def test_penalty_is_half_the_weight_times_the_squared_gradient_of_the_logits(images):
    model = gan(r1_weight=10.0)
    dropout = model.dropout_state.numpy()
    _, penalty = model._judge_real(images, True)
    model.dropout_state.assign(dropout)
    eps = 1e-2
    direction = tf.random.stateless_normal(images.shape, (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = model._judge(images, 4)
    gradient = tape.gradient(logits, images)
    model.dropout_state.assign(dropout)
    there = model._judge(images + eps * direction, 4)
    slope = float(tf.reduce_sum(gradient * direction))
    assert float(tf.reduce_sum(there - logits)) / eps == pytest.approx(slope, rel=0.1)
    squares = tf.reduce_sum(gradient**2, axis=(1, 2, 3))
    assert float(penalty) == pytest.approx(5.0 * float(tf.reduce_mean(squares)), rel=1e-4)
    assert float(model._judge_real(images, False)[1]) == 0


def test_lazy_penalty_comes_every_few_steps_and_counts_as_often_as_it_was_left_out(images):
    model = gan(r1_weight=10.0, r1_every=4)
    every = gan(r1_weight=10.0)
    weighed = float(model._judge_real(images, True)[1])
    assert weighed == pytest.approx(4 * float(every._judge_real(images, True)[1]), rel=1e-5)
    penalized = []
    for step in range(9):
        model.step.assign(step)
        penalized += [step] if model._is_penalized() else []
    assert penalized == [0, 4, 8]


def test_run_without_a_penalty_never_has_one():
    assert not gan()._is_penalized()


def test_two_time_scales_are_two_rates():
    model = gan(learning_rate=1e-4, discriminator_learning_rate=4e-4)
    assert float(model.g_optimizer.learning_rate) == pytest.approx(1e-4)
    assert float(model.d_optimizer.learning_rate) == pytest.approx(4e-4)
    assert float(gan(learning_rate=3e-4).d_optimizer.learning_rate) == pytest.approx(3e-4)


def test_both_rates_fall_together():
    model = gan(learning_rate=1e-4, discriminator_learning_rate=4e-4)
    model.set_rates(0.25)
    assert float(model.g_optimizer.learning_rate) == pytest.approx(2.5e-5)
    assert float(model.d_optimizer.learning_rate) == pytest.approx(1e-4)


def test_discriminator_sees_photographs_and_fakes_augmented(images, monkeypatch):
    seen = []

    def note(given, names, seed):
        seen.append((names, tuple(seed.numpy())))
        return given

    monkeypatch.setattr("training.gan.augment", note)
    model = gan(augment=("color", "cutout"))
    model.train_step((images,))
    assert [names for names, _ in seen] == [("color", "cutout")] * 3
    assert len({seed for _, seed in seen}) == 3, "two of them were altered alike"


def test_bigger_images_train_too(photographs):
    model = gan(size=64)
    big = tf.image.resize(photographs[:4].astype(np.float32) / 127.5 - 1.0, (64, 64))
    losses = model.train_step((big,))
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert model.generator.output_shape == (None, 64, 64, 3)


def test_several_devices_hold_the_same_weights_and_draw_their_own_numbers():
    ended = subprocess.run(
        [sys.executable, "-c", MIRRORED], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["replicas"], found["copies"], found["step"]) == (2, 2, 2)
    assert found["alike"]
    assert found["moved"]
    assert found["latents_differ"]
    assert 1.0 < found["d_loss"] < 2.5, "a new discriminator knows nothing: about 2 ln 2"
