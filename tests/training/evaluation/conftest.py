"""Real photographs in an order of their own, and a finished run of a generator made by hand."""

import json

import numpy as np
import pytest

from training.data import digest

LIMIT = 64


@pytest.fixture(scope="session")
def shuffled(photographs):
    """Return the 6,000 photographs, shuffled: the data set comes sorted by its bytes."""
    return photographs[np.random.default_rng(0).permutation(len(photographs))]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, photographs):
    """A run as the training leaves it, of 64 photographs and a generator of one random layer."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("runs") / "tiny & odd"
    module = tf.Module()
    weights = tf.random.stateless_normal((100, 32 * 32 * 3), (1, 2)) / 10
    module.draw = tf.function(
        lambda latents: {"images": tf.reshape(tf.tanh(latents @ weights), (-1, 32, 32, 3))},
        input_signature=[tf.TensorSpec((None, 100), tf.float32, name="latents")],
    )
    tf.saved_model.save(module, str(folder / "saved_model"), {"serving_default": module.draw})
    images = photographs[:LIMIT]
    facts = {
        "recipe": {"data": "cifar10-cars", "limit_images": LIMIT},
        "data": {"name": "cifar10-cars", "images": LIMIT, "sha256": digest(images)},
        "epochs": 2,
        "latent_dim": 100,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "history.csv").write_text(
        "epoch,swd,d_loss,g_loss,d_real,d_fake\n1,,0.7,1.5,0.6,0.4\n2,31.5,0.6,1.7,0.7,0.3\n"
    )
    return folder
