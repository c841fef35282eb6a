"""The network comes from a file or from Keras; where it cannot, a sentence says what to do."""

import socket

import keras
import numpy as np
import pytest

from training.evaluation.inception import NoInception, features, load_inception


def test_file_of_weights_makes_the_network(tmp_path, monkeypatch):
    asked = {}

    def build(**settings):
        asked.update(settings, timeout=socket.getdefaulttimeout())
        return "network"

    monkeypatch.setattr(keras.applications, "InceptionV3", build)
    path = tmp_path / "weights.h5"
    path.touch()
    assert load_inception(path) == "network"
    assert asked["weights"] == str(path)
    assert (asked["include_top"], asked["pooling"]) == (False, "avg")
    assert load_inception() == "network"
    assert asked["weights"] == "imagenet"
    assert asked["timeout"] == 30
    assert socket.getdefaulttimeout() is None


def test_download_that_fails_names_the_option_that_helps(monkeypatch):
    def unreachable(**settings):
        raise Exception("URL fetch failure\nand a long story")

    monkeypatch.setattr(keras.applications, "InceptionV3", unreachable)
    with pytest.raises(NoInception, match=r"--inception-weights .*URL fetch failure$"):
        load_inception()


def test_file_that_is_not_there_or_holds_something_else_is_named(tmp_path):
    with pytest.raises(NoInception, match=r"none\.h5: there is no such file"):
        load_inception(tmp_path / "none.h5")
    (tmp_path / "bad.h5").write_bytes(b"nonsense")
    with pytest.raises(NoInception, match=r"bad\.h5: wanted Keras's InceptionV3 without its top"):
        load_inception(tmp_path / "bad.h5")


def test_features_are_of_enlarged_images_in_minus_one_to_one():
    seen = []

    def network(images, training):
        seen.append(images.shape)
        return keras.ops.stack(
            [keras.ops.min(images, (1, 2, 3)), keras.ops.max(images, (1, 2, 3))], 1
        )

    images = np.zeros((70, 32, 32, 3), np.uint8)
    images[:, :16] = 255
    parts = []
    found = features(network, images, parts.append)
    assert found.shape == (70, 2)
    np.testing.assert_allclose(found, [[-1, 1]] * 70, atol=1e-6)
    assert {tuple(shape[1:]) for shape in seen} == {(299, 299, 3)}
    assert parts == [64 / 70, 1]
