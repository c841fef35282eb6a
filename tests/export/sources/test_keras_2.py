"""Files as Keras 2 writes them, read by tf_keras."""

import importlib
import warnings

import numpy as np
import pytest

from export.config import ExportConfig
from export.errors import SourceRefused
from export.pipeline import export
from export.reference import load_reference
from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.runtime.open_session import open_session
from server.runtime.plans import choose_plans
from tests.export.sources.conftest import WIDTH, spread


@pytest.fixture(scope="module")
def keras_2():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("tf_keras")


@pytest.fixture
def keep_2(keras_2, tmp_path):
    """Save a model with Keras 2 under a name."""

    def run(model, name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(tmp_path / name)
        return tmp_path / name

    return run


def dcgan(keras, channels_first=False):
    """TensorFlow's tutorial: bias-free transposed convolutions, BatchNormalization, a tanh."""
    layers = keras.layers
    place = {"data_format": "channels_first"} if channels_first else {}
    axis = {"axis": 1} if channels_first else {}
    return keras.Sequential(
        [
            layers.Dense(4 * 4 * WIDTH, use_bias=False, input_shape=(16,)),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((WIDTH, 4, 4) if channels_first else (4, 4, WIDTH)),
            layers.Conv2DTranspose(WIDTH, 5, 2, "same", use_bias=False, **place),
            layers.BatchNormalization(**axis),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(3, 5, 2, "same", activation="tanh", **place),
        ]
    )


@pytest.mark.parametrize(
    ("name", "channels_first"), [("x.h5", False), ("x.keras", False), ("x", False), ("x.h5", True)]
)
def test_generator_of_keras_2_becomes_a_bundle_that_draws_the_same_images(
    name, channels_first, keras_2, keep_2, tmp_path, quick, on_cpu
):
    keras_2.utils.set_random_seed(4)
    model = spread(dcgan(keras_2, channels_first))
    config = ExportConfig(keep_2(model, name), "theirs", models=tmp_path / "models")
    bundle = load_bundle(export(config, say=lambda _: None))
    source = bundle.manifest.lineage["source"]
    assert (source["file"], source["reader"]) == (name, "tf_keras" if "." in name else "tensorflow")
    session, _ = open_session(bundle, choose_plans("cpu"), threads=1)
    batch = latents(range(7), 16)
    drawn = model(batch, training=False).numpy()
    wanted = np.rint((drawn.transpose(0, 2, 3, 1) if channels_first else drawn) * 127.5 + 127.5)
    images = session.run(batch)
    assert images.shape == (7, 16, 16, 3)
    assert np.abs(images - wanted).max() <= 1
    assert images.std() > 3


@pytest.mark.parametrize("name", ["x.h5", "x.keras", "x"])
def test_class_of_a_generator_of_keras_2_is_found(name, keras_2, keep_2, take_in):
    layers = keras_2.layers
    label, z = keras_2.Input((1,)), keras_2.Input((8,))
    of_class = layers.Flatten()(layers.Embedding(5, 8)(label))
    x = layers.Dense(48, activation="tanh")(layers.Multiply()([z, of_class]))
    model = spread(keras_2.Model([label, z], layers.Reshape((4, 4, 3))(x)))
    run = take_in(keep_2(model, name))
    assert (run.latent_dim, run.classes) == (8, ("0", "1", "2", "3", "4"))
    batch = latents([7], 8)
    rows = np.concatenate([batch, [[3]]], axis=1).astype(np.float32)
    wanted = model([np.array([[3]]), batch], training=False)
    np.testing.assert_allclose(load_reference(run.saved_model)(rows), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["x.h5", "x.keras"])
def test_code_in_files_of_keras_2_runs_only_when_asked_for(name, keras_2, keep_2, take_in):
    layers = keras_2.layers

    class Double(layers.Layer):
        def call(self, x):
            return 2 * x

    def ending(layer):
        start = [layers.Dense(48, input_shape=(8,)), layer]
        return keras_2.Sequential([*start, layers.Activation("tanh"), layers.Reshape((4, 4, 3))])

    path = keep_2(ending(Double()), name)
    with pytest.raises(SourceRefused, match=r"needs the custom class or function Double"):
        take_in(path)
    path = keep_2(ending(layers.Lambda(lambda x: x * 2, name="odd")), name)
    with pytest.raises(SourceRefused, match=r"has a Lambda layer \(odd\), .* add --unsafe$"):
        take_in(path)
    assert take_in(path, unsafe=True).image_shape == (4, 4, 3)
