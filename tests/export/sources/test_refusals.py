"""What cannot be served is refused in one sentence, which says what to change."""

import json
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from export.errors import SourceRefused
from tests.export.sources.conftest import keep


def plain(*end, latent=(8,)):
    """A small generator with the layers ``end`` instead of its last."""
    end = end or [layers.Dense(48, activation="tanh"), layers.Reshape((4, 4, 3))]
    return keras.Sequential([keras.Input(latent), layers.Dense(8, activation="relu"), *end])


def label_alone():
    label = keras.Input((1,), dtype="int32", name="label")
    x = layers.Flatten()(layers.Embedding(10, 4)(label))
    return keras.Model(label, layers.Reshape((4, 4, 3))(layers.Dense(48, "tanh")(x)))


def two_outputs():
    z = keras.Input((8,))
    x = layers.Dense(48, "tanh")(z)
    return keras.Model(z, [layers.Reshape((4, 4, 3))(x), x])


def half():
    x = z = keras.Input((8,))
    x = layers.Dense(48, "tanh", dtype="float16")(x)
    return keras.Model(z, layers.Reshape((4, 4, 3), dtype="float16")(x))


def diverged():
    model = plain()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    return model


def refused(take_in, path, told, **options):
    """Check that the file is refused in one line that has its path and matches ``told``."""
    with pytest.raises(SourceRefused, match=told) as refusal:
        take_in(path, **options)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def logits():
    return plain(layers.Dense(48), layers.Reshape((4, 4, 3)))


def rectified():
    return plain(layers.Dense(48), layers.ReLU(), layers.Reshape((4, 4, 3)))


def flat():
    return plain(layers.Dense(784, activation="tanh"))


def five_channels():
    return plain(layers.Dense(180, activation="tanh"), layers.Reshape((6, 6, 5)))


def oblong():
    return plain(layers.Dense(60, activation="tanh"), layers.Reshape((5, 4, 3)))


def of_images():
    """A small pix2pix."""
    image = keras.Input((8, 8, 3))
    x = layers.LeakyReLU()(layers.Conv2D(4, 4, 2, "same")(image))
    return keras.Model(image, layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh")(x))


UNBOUNDED = (
    r"draws values from -\S+ to \S+ and nothing bounds them; end it with .*'tanh'\).* --range "
)
NO_IMAGE = r"gives \[784\] .* no image; end it with keras\.layers\.Reshape\(\(28, 28, 1\)\), if its"
CHANNELS = r"wanted 1 channel \(grey\), 3 \(RGB\) or 4 \(RGBA\)"


@pytest.mark.parametrize(
    ("build", "options", "told"),
    [
        (label_alone, {}, r"takes 'label' \[1\] int32, and no latents; save the generator with an"),
        (two_outputs, {}, r"has 2 outputs, \[.*; save one that gives images alone"),
        (half, {}, r"takes or gives float16; save the generator in float32"),
        (diverged, {}, r"draws NaN or infinite values; go back to weights from before"),
        (logits, {}, UNBOUNDED),
        (logits, {"image_range": (0.0, 1.0)}, r"of the values would be clipped; "),
        (rectified, {}, r"its last layers bound them by 0; end it"),
        (plain, {"image_range": (0.0, 255.0)}, r"would be clipped; state \[-1\.0, 1\.0\]"),
        (flat, {}, NO_IMAGE),
        (five_channels, {}, rf"gives images of \[6, 6, 5\]; {CHANNELS}"),
        (of_images, {}, r"makes images \[8, 8, 3\] of images \[8, 8, 3\], as pix2pix and CycleGAN"),
        (oblong, {"layout": "channels_first"}, rf"\[5, 4, 3\] in channels_first; {CHANNELS}"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_generator_that_cannot_be_served_is_told_what_to_change(
    build, options, told, tmp_path, take_in
):
    refused(take_in, keep(build(), tmp_path / "x.keras"), told, **options)


def saved(folder, draw, *signature):
    """A SavedModel of a function with that signature."""
    module = tf.Module()
    module.call = tf.function(draw, input_signature=signature)
    module.other = tf.function(lambda: 1.0, input_signature=())  # so that neither is the default
    tf.saved_model.save(module, str(folder))
    return folder


def images_of(z):
    return tf.tanh(tf.reshape(tf.repeat(z, 6, axis=1), (-1, 4, 4, 3)))


def test_saved_model_without_a_signature_is_drawn_by_its_call(tmp_path, take_in):
    folder = saved(tmp_path / "any", images_of, tf.TensorSpec((None, 8), tf.float32))
    run = take_in(folder)
    assert (run.latent_dim, run.image_shape, run.image_range) == (8, (4, 4, 3), (-1.0, 1.0))
    assert run.source["signature"] == "call"


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            (4, 8),
            r"draws 4 images at a time and no other number .*; save it with an open batch, \[N",
        ),
        ((None, None), r"whose size is not stated; save it with an input of a known size"),
    ],
)
def test_saved_model_of_a_fixed_batch_or_an_open_size_is_refused(shape, told, tmp_path, take_in):
    folder = saved(tmp_path / "any", images_of, tf.TensorSpec(shape, tf.float32))
    refused(take_in, folder, told)


def test_saved_model_that_draws_nothing_is_refused(tmp_path, take_in):
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    refused(take_in, tmp_path / "empty", r"needs a signature called serving_default, and has none")


def test_noise_of_each_call_is_refused(tmp_path, take_in):
    def noisy(z):
        return images_of(z + tf.random.normal(tf.shape(z)))

    folder = saved(tmp_path / "any", noisy, tf.TensorSpec((None, 8), tf.float32))
    refused(take_in, folder, "draws other images of the same latents each time")


def test_weights_without_a_network_are_refused(tmp_path, take_in):
    path = tmp_path / "x.weights.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain().save_weights(path)
    refused(take_in, path, r"holds weights without a network; build the network in Python")


def test_what_is_no_model_is_refused(tmp_path, take_in):
    text, archive, cut = (tmp_path / name for name in ("x.keras", "x.zip", "x.h5"))
    text.write_text("not a model")
    refused(
        take_in, text, r"is no model of Keras, .*; save the whole generator, as with model\.save"
    )
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", b"cos\nsystem\n")
    refused(take_in, archive, r"is a zip file, but none of Keras")
    cut.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    refused(take_in, cut, r"cannot be read \(.*\); copy it anew")
    refused(take_in, tmp_path / "none", r"does not exist; give a \.keras or \.h5 file")
    (tmp_path / "empty").mkdir()
    refused(take_in, tmp_path / "empty", r"has no run\.json, .* and no saved_model\.pb")


def test_file_whose_weights_are_cut_off_is_refused(tmp_path, take_in):
    path = keep(plain(), tmp_path / "x.keras")
    with zipfile.ZipFile(path) as whole:
        texts = {name: whole.read(name) for name in ("config.json", "metadata.json")}
    with zipfile.ZipFile(path, "w") as without:
        for name, text in texts.items():
            without.writestr(name, text)
    refused(
        take_in, path, r"cannot be loaded by keras 3\.\d+\.\d+ \(.*\); load it where it was made"
    )


def test_file_of_keras_2_says_how_to_install_what_reads_it(tmp_path, take_in, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {}})
    refused(
        take_in,
        path,
        r"written by Keras 2\.4\.0, which the library tf_keras reads: .* -m pip install --no-deps "
        r'"tf-keras==2\.\d+\.\*"$',
    )


@pytest.mark.parametrize("option", [{"latents": "uniform"}, {"unsafe": True}])
def test_options_that_run_json_holds_are_refused_with_a_run(option, run_dir, take_in):
    refused(take_in, run_dir, r"is a run directory, whose run\.json says all: leave out", **option)
