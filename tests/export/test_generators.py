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
from server.bundle import repository
from server.bundle.latents import latents
from server.runtime.plans import choose_plans
from server.runtime.session import open_session

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


@pytest.mark.parametrize(
    ("build", "stated", "told"),
    [
        (upsampled, [0.0, 1.0], r"of the values would be clipped; state \[-1\.0, 1\.0\]"),
        (large_and_grey, [-1.0, 1.0], r"no pixel is dark; state \[0\.0, 1\.0\]"),
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
        (unknown_op, r"no ONNX form for BesselI0e \(in .*odd.*\).* build the generator of Dense, "),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_cannot_be_exported_is_named_beside_what_can(build, told, tmp_path):
    build().export(str(tmp_path / "saved_model"), verbose=False)
    with pytest.raises(ConversionFailed, match=told):
        convert(tmp_path / "saved_model", tmp_path, 8, (4, 4, 3))
