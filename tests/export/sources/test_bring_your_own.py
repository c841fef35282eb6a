"""Generators of other people's kinds: from the file to images that a server's session draws."""

import hashlib
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from export.config import ExportConfig, SourceOptions
from export.pipeline import export
from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.config import ServerConfig
from server.engine.loader import Loader
from server.ipc.engine_dir import EngineDir
from tests.export.sources.conftest import WIDTH, keep, spread

FIRST = {"data_format": "channels_first"}


def dcgan():
    """A tutorial's DCGAN: LeakyReLU, transposed convolutions, a sigmoid."""
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(4 * 4 * WIDTH),
            layers.Reshape((4, 4, WIDTH)),
            layers.Conv2DTranspose(WIDTH, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(WIDTH, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(3, 5, padding="same", activation="sigmoid"),
        ],
        name="generator",
    )


def wgan():
    """28x28 in grey, upsampled and cropped, with a tanh as a layer of its own."""
    x = z = keras.Input((12,), name="noise")
    x = layers.Dense(4 * 4 * WIDTH, use_bias=False)(z)
    x = layers.BatchNormalization()(x)
    x = layers.Reshape((4, 4, WIDTH))(layers.LeakyReLU(0.2)(x))
    for _ in range(3):
        x = layers.UpSampling2D((2, 2))(x)
        x = layers.Conv2D(WIDTH, 3, padding="same", use_bias=False)(x)
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    x = layers.Conv2D(1, 3, padding="same")(layers.Cropping2D((2, 2))(x))
    return keras.Model(z, layers.Activation("tanh")(x))


def pixel_latents():
    """Latents of shape [1, 1, 20], as in networks of transposed convolutions alone."""
    return keras.Sequential(
        [
            keras.Input((1, 1, 20)),
            layers.Conv2DTranspose(WIDTH, 4, strides=1, padding="valid", activation="relu"),
            layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh"),
        ]
    )


def without_channels():
    """A multilayer perceptron whose images are 12x10, without an axis of channels."""
    return keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(WIDTH, activation="relu"),
            layers.Dense(120, activation="sigmoid"),
            layers.Reshape((12, 10)),
        ]
    )


def bytes_channels_first():
    """Images [3, 16, 16] in [0, 255]."""
    x = z = keras.Input((8,))
    x = layers.Reshape((WIDTH, 4, 4))(layers.Dense(WIDTH * 16, activation="relu")(x))
    x = layers.Conv2DTranspose(WIDTH, 4, 2, "same", activation="relu", **FIRST)(x)
    x = layers.UpSampling2D(**FIRST)(x)
    x = layers.Conv2D(3, 3, padding="same", activation="tanh", **FIRST)(x)
    return keras.Model(z, layers.Rescaling(127.5, offset=127.5)(x))


def rgba_in_float64():
    """Four channels, latents and weights in float64."""
    policy = {"dtype": "float64"}
    return keras.Sequential(
        [
            keras.Input((8,), dtype="float64"),
            layers.Dense(8 * 8 * WIDTH, activation="relu", **policy),
            layers.Reshape((8, 8, WIDTH), **policy),
            layers.Conv2DTranspose(WIDTH, 4, 2, "same", activation="relu", **policy),
            layers.Conv2D(4, 3, padding="same", activation="tanh", **policy),
        ]
    )


@keras.saving.register_keras_serializable(package="Theirs")
class PixelNorm(layers.Layer):
    """A layer of somebody's own."""

    def call(self, x):
        return x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-4)


def custom():
    x = z = keras.Input((8,))
    x = layers.Reshape((4, 4, WIDTH))(layers.Dense(4 * 4 * WIDTH)(z))
    x = PixelNorm()(x)
    return keras.Model(z, layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh")(x))


def wanted_bytes(model, batch, image_range, channels_first=False):
    """The images that ``model`` draws, as bytes [N, height, width, channels]."""
    dtype = model.inputs[0].dtype
    shaped = batch.reshape(len(batch), *model.input_shape[1:])
    drawn = np.asarray(model(tf.constant(shaped, dtype), training=False), np.float64)
    low, high = image_range
    if channels_first:
        drawn = drawn.transpose(0, 2, 3, 1)
    if drawn.ndim == 3:
        drawn = drawn[..., None]
    return np.rint((drawn - low) / (high - low) * 255)


def load(bundle, folder):
    """The bundle as an engine serves it, proven on its golden images."""
    engine_dir = EngineDir(folder / "engine-0")
    engine_dir.prepare()
    config = ServerConfig(provider="cpu", threads=1, streams=1, max_batch_size=8)
    return Loader(config, engine_dir, time.monotonic)(bundle).served


TANH, SIGMOID, BYTES = (-1, 1), (0, 1), (0, 255)


@pytest.mark.parametrize(
    ("build", "image_range", "options"),
    [
        (dcgan, SIGMOID, {}),
        (wgan, TANH, {}),
        (pixel_latents, TANH, {"latents": "uniform"}),
        (without_channels, SIGMOID, {}),
        (bytes_channels_first, BYTES, {}),
        (rgba_in_float64, TANH, {}),
        (custom, TANH, {"custom": (f"{__name__}:PixelNorm",)}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_keras_file_becomes_a_bundle_that_draws_the_same_images(
    build, image_range, options, tmp_path, quick, on_cpu
):
    sys.modules.setdefault(__name__, sys.modules[build.__module__])
    model = spread(build())
    config = ExportConfig(
        keep(model, tmp_path / "generator.keras"),
        "theirs",
        models=tmp_path / "models",
        options=SourceOptions(**options),
    )
    bundle = load_bundle(export(config, say=lambda _: None))
    manifest = bundle.manifest
    assert manifest.version == "1"
    source = manifest.lineage["source"]
    assert (source["file"], source["reader"]) == ("generator.keras", "keras")
    assert source["sha256"] == hashlib.sha256(config.source.read_bytes()).hexdigest()
    assert manifest.latents.dim == np.prod(model.input_shape[1:])
    served = load(bundle, tmp_path)
    assert served.distribution == options.get("latents", "normal")
    batch = latents(range(7), served.latent_dim, served.distribution)
    wanted = wanted_bytes(model, batch, image_range, build is bytes_channels_first)
    images = served.runs[0](batch)
    assert images.shape == wanted.shape == (7, *manifest.image.shape)
    assert np.abs(images - wanted).max() <= 1
    assert (images != wanted).mean() < 0.01
    assert images.std() > 3
