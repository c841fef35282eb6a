"""The classifier of the repository knows cars, and its features tell them from what is none."""

import keras
import numpy as np

from training.evaluation import classifier


def test_photographs_of_cars_are_cars_and_noise_is_not(photographs):
    network = classifier.load()
    some = photographs[::40]
    noise = np.random.default_rng(0).integers(0, 256, some.shape, np.uint8)
    _, cars = classifier.judge(network, np.concatenate([some, noise]))
    assert cars[: len(some)].mean() > 0.9
    assert cars[len(some) :].mean() < 0.1


def test_features_do_not_depend_on_the_batch(photographs, monkeypatch):
    network, parts = classifier.load(), []
    features, _ = classifier.judge(network, photographs[:20], parts.append)
    assert features.shape == (20, 128)
    monkeypatch.setattr(classifier, "BATCH", 8)
    again, _ = classifier.judge(network, photographs[:20], parts.append)
    assert np.allclose(features, again, atol=1e-4)
    assert parts == [1, 0.4, 0.8, 1]


def test_larger_images_are_judged_small(photographs):
    network = classifier.load()
    large = photographs[:5].repeat(2, axis=1).repeat(2, axis=2)
    wanted, _ = classifier.judge(network, photographs[:5])
    found, _ = classifier.judge(network, large)
    assert np.allclose(found, wanted, atol=1e-4)


def test_weights_survive_being_kept(tmp_path):
    keras.utils.set_random_seed(1)
    network = classifier.build()
    classifier.save(network, tmp_path / "weights.npz")
    kept = classifier.load(tmp_path / "weights.npz")
    pairs = zip(network.get_weights(), kept.get_weights(), strict=True)
    assert all(np.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in pairs)
