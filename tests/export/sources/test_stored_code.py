"""Code runs only when it was asked for: custom classes by name, what a file holds by --unsafe."""

import importlib
import json
import sys
import zipfile

import keras
import pytest
from keras import layers

from export.errors import SourceRefused
from tests.export.sources.conftest import keep

MODULE = '''
from pathlib import Path

import keras
from keras import layers

(Path(__file__).parent / "ran").touch()


class Double(layers.Layer):
    def call(self, x):
        return 2 * x


def squashed(x):
    return keras.ops.tanh(x)


class Generator(keras.Model):
    """A subclassed model, of which a file has the class's name alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(48, activation="tanh")
        self.reshape = layers.Reshape((4, 4, 3))

    def call(self, z):
        return self.reshape(self.dense(z))
'''


def sequential(*end):
    return keras.Sequential([keras.Input((8,)), layers.Dense(48), *end, layers.Reshape((4, 4, 3))])


def with_layer(theirs):
    return sequential(theirs.Double(), layers.Activation("tanh"))


def with_function(theirs):
    return sequential(layers.Activation(theirs.squashed))


def subclassed(theirs):
    model = theirs.Generator()
    model(keras.ops.zeros((1, 8)))
    return model


class Theirs:
    """A module of somebody's own, and files that need it."""

    def __init__(self, folder):
        self.module, self.ran = folder / "their_layers.py", folder / "ran"
        self.module.write_text(MODULE)

    def save(self, build, path):
        """Save a model that needs the module, and forget the module."""
        sys.path.insert(0, str(self.module.parent))
        try:
            keep(build(importlib.import_module("their_layers")), path)
        finally:
            sys.path.pop(0)
            del sys.modules["their_layers"]
        self.ran.unlink()
        return path


@pytest.fixture
def theirs(tmp_path):
    (tmp_path / "theirs").mkdir()
    yield Theirs(tmp_path / "theirs")
    sys.modules.pop("their_layers", None)


NEEDED = [
    (with_layer, "Double", "keras"),
    (with_layer, "Double", "h5"),
    (with_function, "squashed", "keras"),
    (with_function, "squashed", "h5"),
    (subclassed, "Generator", "keras"),
]
"""What files need, and the formats: Keras writes no subclassed model as HDF5."""


@pytest.mark.parametrize(
    ("build", "name", "suffix"), NEEDED, ids=lambda x: getattr(x, "__name__", x)
)
def test_custom_class_or_function_is_named_and_its_module_is_not_imported(
    build, name, suffix, theirs, tmp_path, take_in, monkeypatch
):
    path = theirs.save(build, tmp_path / f"x.{suffix}")
    monkeypatch.syspath_prepend(theirs.module.parent)  # it could be imported
    with pytest.raises(SourceRefused, match=rf"needs the custom .* {name}, .*--custom \S+:{name} "):
        take_in(path)
    assert not theirs.ran.exists()
    run = take_in(path, custom=(f"{theirs.module}:{name}",))
    assert theirs.ran.exists()
    assert (run.latent_dim, run.image_shape) == (8, (4, 4, 3))


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"module": "their_layers", "class_name": "Double", "config": {}}, "Double"),
        ({"module": "their_layers", "class_name": "function", "config": "squashed"}, "squashed"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "eval"),
        ({"module": None, "class_name": "Double", "registered_name": "Double"}, "Double"),
        ({"class_name": "Lambda", "config": {"function": "get_file"}}, "get_file"),
    ],
)
def test_what_a_file_names_is_refused_before_anything_reads_it(
    part, name, theirs, tmp_path, take_in, monkeypatch
):
    """Keras 2 imports any module that a file names, safe mode or not."""
    monkeypatch.syspath_prepend(theirs.module.parent)
    network = {"class_name": "Sequential", "config": {"layers": [part]}}
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(network))
        file.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
    with pytest.raises(SourceRefused, match=rf"needs the custom class or function {name}, "):
        take_in(path)
    assert not theirs.ran.exists()


def test_module_that_cannot_be_imported_is_told(theirs, tmp_path, take_in):
    path = theirs.save(with_layer, tmp_path / "x.keras")
    for place in ("nowhere:Double", f"{theirs.module.parent}/none.py:Double"):
        with pytest.raises(
            SourceRefused, match=rf"--custom {place} cannot be imported .* PYTHONPA"
        ):
            take_in(path, custom=(place,))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_lambda_is_loaded_only_when_that_is_asked_for(suffix, tmp_path, take_in):
    model = sequential(layers.Activation("tanh"), layers.Lambda(lambda x: x * 0.99, name="odd"))
    path = keep(model, tmp_path / f"x.{suffix}")
    with pytest.raises(SourceRefused, match=r"has a Lambda layer \(odd\), .* add --unsafe$"):
        take_in(path)
    run = take_in(path, unsafe=True, image_range=(-1.0, 1.0))
    assert run.image_shape == (4, 4, 3)


def test_function_that_a_lambda_names_is_not_called_unless_given(tmp_path, take_in):
    """Its arguments come from the file: any function of any module could be called with them."""
    model = sequential(layers.Lambda(keras.ops.tanh))
    path = keep(model, tmp_path / "x.keras")
    with pytest.raises(SourceRefused, match=r"needs the custom class or function tanh"):
        take_in(path)
