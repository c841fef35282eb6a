"""Generators of other kinds than the project's own: exported, proven, drawn as a server does."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from export.__main__ import main
from export.convert import convert
from export.errors import ConversionFailed
from export.parity import GOLDEN_PLAN
from server.bundle import repository
from server.bundle.latents import latents
from server.runtime.open_session import open_session
from server.runtime.plans import choose_plans
from server.runtime.session import Session

CHANNELS = 32


def transposed(shape=(32, 32, 3), latent_dim=100):
    """The start of every network here: latents to 8x8."""
    x = z = keras.Input((latent_dim,), name="z")
    x = layers.Dense(8 * 8 * CHANNELS, activation="relu")(x)
    return z, layers.Reshape((8, 8, CHANNELS))(x)


def large_and_grey():
    """Another latent size, 64x64, one channel, a sigmoid, in Keras's functional style."""
    z, x = transposed(latent_dim=24)
    for _ in range(3):
        x = layers.Conv2DTranspose(CHANNELS, 4, 2, "same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return keras.Model(z, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))


def upsampled():
    """UpSampling2D and GroupNormalization instead of transposed convolutions."""
    z, x = transposed()
    for _ in range(2):
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(CHANNELS, 3, padding="same")(x)
        x = layers.GroupNormalization(8)(x)
        x = layers.LeakyReLU(0.2)(x)
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def nested():
    """A model in a model, with a branch that is added."""
    inner_in = keras.Input((8, 8, CHANNELS))
    inner = layers.Conv2DTranspose(CHANNELS, 2, 2, "valid", activation="relu")(inner_in)
    inner = layers.Add()([inner, layers.Conv2D(CHANNELS, 3, padding="same")(inner)])
    block = keras.Model(inner_in, inner, name="block")
    z, x = transposed(latent_dim=64)
    x = block(x)
    x = layers.Conv2DTranspose(3, 6, 2, "same", activation="tanh")(x)
    return keras.Model(z, x)


def oblong():
    """Strides that differ by direction, a kernel that is no multiple, a Sequential model."""
    return keras.Sequential(
        [
            keras.Input((7,)),
            layers.Dense(4 * 4 * CHANNELS, activation="relu"),
            layers.Reshape((4, 4, CHANNELS)),
            layers.Conv2DTranspose(CHANNELS, (4, 6), (2, 3), "same", activation="relu"),
            layers.Conv2DTranspose(CHANNELS, 3, 2, "same"),
            layers.LeakyReLU(0.1),
            layers.Conv2D(3, 5, padding="same", activation="tanh"),
        ]
    )


class PixelShuffle(layers.Layer):
    def call(self, x):
        return tf.nn.depth_to_space(x, 2)

    def compute_output_shape(self, shape):
        return (shape[0], 2 * shape[1], 2 * shape[2], shape[3] // 4)


def modern():
    """Attention, a residual block, exact GELU, CELU, PReLU, and layers that resize or normalise."""
    z, x = transposed(latent_dim=32)
    attended = layers.MultiHeadAttention(2, 8)(*2 * [layers.Reshape((64, CHANNELS))(x)])
    x = layers.Add()([x, layers.Reshape((8, 8, CHANNELS))(attended)])
    x = layers.LayerNormalization()(x)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = layers.SeparableConv2D(CHANNELS, 3, padding="same", activation="gelu")(x)
    inner = layers.DepthwiseConv2D(3, padding="same", activation="celu")(x)
    x = layers.PReLU(shared_axes=[1, 2])(layers.Add()([x, inner]))
    x = PixelShuffle()(layers.Conv2D(4 * CHANNELS, 1)(x))
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def odd_strides():
    """Kernels smaller than their strides, output padding, bare normalisation, silent dropout."""
    z, x = transposed(latent_dim=32)
    x = layers.Conv2DTranspose(CHANNELS, 1, 2, "same", activation="relu")(layers.Dropout(0.5)(x))
    x = layers.BatchNormalization(center=False, scale=False)(layers.GaussianNoise(0.5)(x))
    x = layers.SpectralNormalization(layers.Conv2DTranspose(CHANNELS, 2, 4, "same"))(x)
    x = layers.Cropping2D(20)(layers.ReLU()(x))
    x = layers.Conv2DTranspose(CHANNELS, 3, 2, "valid", output_padding=1, activation="swish")(x)
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


class Demodulated(layers.Layer):
    """A convolution with styles: sums over three axes, in another order in a batch of one."""

    def build(self, shapes):
        (*_, channels), (_, dim) = shapes
        self.kernel = self.add_weight(shape=(3, 3, channels, CHANNELS), name="kernel")
        self.styles = self.add_weight(shape=(dim, channels), name="styles")

    def call(self, inputs):
        x, latents = inputs
        style = 1 + latents @ self.styles
        kernels = self.kernel[None] * style[:, None, None, :, None]
        scale = tf.math.rsqrt(tf.reduce_sum(tf.square(kernels), [1, 2, 3]) + 1e-8)
        x = tf.nn.conv2d(x * style[:, None, None, :], self.kernel, 1, "SAME")
        return x * scale[:, None, None, :]

    def compute_output_shape(self, shapes):
        return (*shapes[0][:-1], CHANNELS)


def demodulated():
    z, x = transposed(latent_dim=32)
    for _ in range(3):
        x = layers.LeakyReLU(0.2)(Demodulated()([layers.UpSampling2D()(x), z]))
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def save(generator, folder, facts):
    generator.export(str(folder / "saved_model"), verbose=False)
    height, width, channels = generator.output_shape[1:]
    shape = {"latent_dim": generator.input_shape[1], "image_shape": [height, width, channels]}
    (folder / "run.json").write_text(json.dumps(facts | shape))


@pytest.fixture
def export(tmp_path, run_facts, quick):
    folder = tmp_path / "run"
    folder.mkdir()

    def run(generator, **facts):
        save(generator, folder, run_facts | facts)
        return main([str(folder), "--name", "any", "--version", "1", "--models", str(tmp_path)])

    return run


@pytest.mark.parametrize(
    ("build", "image_range"),
    [
        (large_and_grey, [0.0, 1.0]),
        (upsampled, [-1.0, 1.0]),
        (nested, [-1.0, 1.0]),
        (oblong, [-1.0, 1.0]),
        (modern, [-1.0, 1.0]),
        (odd_strides, [-1.0, 1.0]),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_any_generator_is_exported_and_drawn(build, image_range, export, tmp_path, capsys):
    keras.utils.set_random_seed(1)
    generator = build()
    for weight in generator.weights:
        if len(weight.shape) > 1:
            weight.assign(weight * 1.5)  # as initialised, all images are nearly the same grey
    assert export(generator, image_range=image_range) == 0, capsys.readouterr()
    bundle = repository.find(tmp_path, "any")
    session, _ = open_session(bundle, choose_plans("cpu"), threads=1)
    batch = latents(range(5), generator.input_shape[1])
    low, high = image_range
    drawn = generator(tf.constant(batch), training=False).numpy()
    wanted = np.rint((drawn - low) / (high - low) * 255)
    images = session.run(batch)
    assert images.shape == wanted.shape
    assert np.abs(images - wanted).max() <= 1
    assert images.std() > 2


def test_generator_that_rounds_otherwise_in_a_batch_of_one_is_drawn_in_two_rows(
    export, tmp_path, capsys
):
    keras.utils.set_random_seed(1)
    generator = demodulated()
    assert export(generator) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    bundle = repository.find(tmp_path, "any")
    batch = latents(range(256), 32)
    bare = Session(bundle.path / "generator.onnx", GOLDEN_PLAN, threads=1)
    together = np.concatenate([bare.run(batch[i : i + 64]) for i in range(0, 256, 64)])
    alone = np.concatenate([bare.run(batch[i : i + 1]) for i in range(256)])
    if (alone == together).all():
        pytest.skip("on this processor the runtime adds up alike in a batch of one")
    assert "same, padded to 2 rows" in told
    assert bundle.manifest.variant("fp32").least_rows["cpu/f32"] == 2
    facts = json.loads((bundle.path / "parity.json").read_text())
    assert facts["plans"]["cpu f32"]["least_rows"] == 2
    session, _ = open_session(bundle, [GOLDEN_PLAN], threads=1)
    for i in range(64):
        np.testing.assert_array_equal(session.run(batch[i : i + 1])[0], together[i])


@pytest.mark.parametrize(
    ("build", "stated", "told"),
    [
        (upsampled, [0.0, 1.0], r"of the values would be clipped; state \[-1\.0, 1\.0\] \(.*\)"),
        (large_and_grey, [-1.0, 1.0], r"no pixel is dark; state \[0\.0, 1\.0\] \(.*\)"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_range_that_the_generator_does_not_draw_in_is_refused(
    build, stated, told, export, tmp_path, capsys
):
    keras.utils.set_random_seed(1)
    assert export(build(), image_range=stated) == 1
    assert re.search(rf"error: parity failed in 1 .*\n  - .*{told}\n$", capsys.readouterr().err)
    assert not (tmp_path / "any").exists()


def two_inputs():
    z, label = keras.Input((8,), name="latents"), keras.Input((2,), name="label")
    x = layers.Concatenate()([z, label])
    return keras.Model([z, label], layers.Reshape((4, 4, 3))(layers.Dense(48)(x)))


def no_image():
    return keras.Sequential([keras.Input((8,)), layers.Dense(48)])


class Noise(layers.Layer):
    def call(self, x):
        return x + tf.random.normal(tf.shape(x))

    def compute_output_shape(self, shape):
        return shape


def noisy():
    z = keras.Input((8,))
    x = Noise(name="grain")(layers.Dense(48)(z))
    return keras.Model(z, layers.Reshape((4, 4, 3))(x))


def grouped():
    z = keras.Input((8,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64)(z))
    return keras.Model(z, layers.Conv2D(3, 3, padding="same")(layers.Conv2D(4, 1, groups=2)(x)))


def mixed(policy):
    keras.config.set_dtype_policy(policy)
    try:
        z = keras.Input((8,))
        x = layers.Dense(48, name="first")(z)
        return keras.Model(
            z, layers.Activation("tanh", dtype="float32")(layers.Reshape((4, 4, 3))(x))
        )
    finally:
        keras.config.set_dtype_policy("float32")


def mixed_bfloat16():
    return mixed("mixed_bfloat16")


class Bessel(layers.Layer):
    def call(self, x):
        return tf.math.bessel_i0e(x)

    def compute_output_shape(self, shape):
        return shape


def unknown_op():
    x = z = keras.Input((8,))
    x = Bessel(name="odd")(x)
    return keras.Model(z, layers.Reshape((4, 4, 3))(layers.Dense(48)(x)))


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (two_inputs, "has as input .*'label'.*'latents'.* a generator has one float32 input"),
        (no_image, r"has as output .*\['batch', 48\].* one float32 output of images"),
        (unknown_op, r"no ONNX form for BesselI0e in odd.*; build the generator of Dense, "),
        (noisy, r"draws noise of its own \(RandomNormalLike in grain.*take the noise out"),
        (
            grouped,
            r"compiles by itself, StatefulPartitionedCall in conv2d.*, as it does a Conv2D with",
        ),
        (mixed_bfloat16, r"computes in float16 or bfloat16 \(first in .*save it in float32"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_cannot_be_exported_is_named_beside_what_can(build, told, tmp_path):
    build().export(str(tmp_path / "saved_model"), verbose=False)
    with pytest.raises(ConversionFailed, match=told) as refusal:
        convert(tmp_path / "saved_model", tmp_path, 8, (4, 4, 3))
    assert "\n" not in str(refusal.value)
