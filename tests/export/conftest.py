"""One small generator with random weights, converted once, for every test of the export."""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from export import contents, pipeline
from export.config import ExportConfig
from export.convert import convert, write_onnx
from export.gradient.reference import load_vjp
from export.head import add_head
from export.parity import check_parity
from export.probes import make_probes
from export.reference import load_reference
from export.rewrites import rewrite
from server.runtime.plans import choose_plans

WIDTH = 32
"""Channels, where the real generator has 128. With 16, what one vector register holds, OpenVINO
in bf16 gives other bits in a batch of one than in larger ones."""
GAIN = 1.2
"""Large enough for images that differ, small enough for values that are not all black or white."""
RUN_FACTS = {
    "schema_version": 1,
    "data": {"name": "cifar10-cars", "images": 6000, "sha256": "0" * 64},
    "epochs": 3,
    "recipe": {"seed": 0},
    "metrics": {"g_loss": 1.5},
    "latent_dim": 100,
    "latent_distribution": "normal",
    "image_shape": [32, 32, 3],
    "image_range": [-1.0, 1.0],
    "git_commit": None,
}


def small_generator():
    """The layers of the real generator, narrow, with weights whose images span the whole range."""
    generator = keras.Sequential([keras.Input((100,), name="latents")])
    generator.add(layers.Dense(4 * 4 * 2 * WIDTH))
    generator.add(layers.LeakyReLU(0.2))
    generator.add(layers.Reshape((4, 4, 2 * WIDTH)))
    for _ in range(3):
        generator.add(layers.Conv2DTranspose(WIDTH, 4, 2, "same"))
        generator.add(layers.BatchNormalization())
        generator.add(layers.LeakyReLU(0.2))
    generator.add(layers.Conv2D(3, 3, padding="same", activation="tanh"))
    rng = np.random.default_rng(0)
    for weight in generator.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(rng.normal(0, 0.3, weight.shape))
        else:
            transposed = "transpose" in weight.path  # [4, 4, outputs, inputs], a quarter at a time
            fan_in = 4 * weight.shape[-1] if transposed else np.prod(weight.shape[:-1])
            weight.assign(rng.normal(0, GAIN / np.sqrt(fan_in), weight.shape))
    return generator


def save(generator, path: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "serving_default",
        lambda latents: {"images": generator(latents, training=False)},
        input_signature=[tf.TensorSpec((None, 100), tf.float32, name="latents")],
    )
    archive.write_out(str(path), verbose=False)


@pytest.fixture(scope="session")
def run_facts():
    """What is in ``run.json``."""
    return RUN_FACTS


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A finished run: ``saved_model/`` and ``run.json``. Read only."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    save(small_generator(), folder / "saved_model")
    (folder / "run.json").write_text(json.dumps(RUN_FACTS))
    return folder


@pytest.fixture(scope="session")
def run_again(tmp_path_factory):
    """The same weights, saved anew: other layer names, another SavedModel. Read only."""
    folder = tmp_path_factory.mktemp("runs") / "again"
    save(small_generator(), folder / "saved_model")
    (folder / "run.json").write_text(json.dumps(RUN_FACTS))
    return folder


@pytest.fixture(scope="session")
def converted_bytes(run_dir, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("convert")
    model = convert(run_dir / "saved_model", scratch, 100, (32, 32, 3))
    return model.SerializeToString(deterministic=True)


@pytest.fixture
def converted(converted_bytes):
    """The converted generator with float images, a copy to alter."""
    return onnx.load_from_string(converted_bytes)


@pytest.fixture(scope="session")
def exact():
    """The generator in float64, with the weights as float32 has them: what all others round to."""
    weights = small_generator().get_weights()
    keras.config.set_dtype_policy("float64")
    try:
        generator = small_generator()
    finally:
        keras.config.set_dtype_policy("float32")
    generator.set_weights(weights)
    return lambda latents: generator(tf.constant(latents, tf.float64), training=False).numpy()


@pytest.fixture(scope="session")
def model_path(converted_bytes, tmp_path_factory):
    """The ONNX file as it is served. Read only."""
    path = tmp_path_factory.mktemp("model") / "generator.onnx"
    write_onnx(add_head(rewrite(onnx.load_from_string(converted_bytes))), path)
    return path


@pytest.fixture(scope="session")
def reference(run_dir):
    return load_reference(run_dir / "saved_model")


@pytest.fixture(scope="session")
def probes():
    return make_probes(100, rows=0)  # no more seeds than must be: most tests have one fault


@pytest.fixture(scope="session")
def report(model_path, reference, probes):
    """Parity of the good model."""
    return check_parity(model_path, reference, probes, choose_plans(), threads=1)


def stay_in_this_process(monkeypatch):
    """Have exports draw and take gradients in this process, where TensorFlow is loaded already."""
    monkeypatch.setattr(pipeline, "apart", load_reference)
    monkeypatch.setattr(contents, "vjp_apart", load_vjp)


@pytest.fixture
def in_this_process(monkeypatch):
    """Stay in this process."""
    stay_in_this_process(monkeypatch)


def hasten(monkeypatch):
    """Have exports take as few seeds as there must be, measure no speed, and try no variant."""
    monkeypatch.setattr(pipeline, "rows_for", lambda shape: 0)
    monkeypatch.setattr(pipeline, "_measure", lambda *_: [])
    monkeypatch.setattr(pipeline, "CANDIDATES", ())


@pytest.fixture
def quick(monkeypatch, in_this_process):
    """Hasten an export."""
    hasten(monkeypatch)


@pytest.fixture
def on_cpu(monkeypatch):
    """Prove on ONNX Runtime's own provider alone: OpenVINO compiles for half a minute."""
    monkeypatch.setattr(pipeline, "choose_plans", lambda: choose_plans("cpu"))


@pytest.fixture
def config(run_dir, tmp_path):
    return ExportConfig(run_dir, "cars-dcgan", "1", models=tmp_path / "models")
