"""The losses push the logits where they should go."""

import numpy as np
import pytest
import tensorflow as tf

from training.config import LOSSES
from training.losses import discriminator_loss, generator_loss


def logits(*values):
    return tf.constant(values, tf.float32)[:, None]


def test_hinge_is_what_lies_within_the_margin():
    found = discriminator_loss("hinge", logits(3.0, 0.5), logits(-2.0, 0.25))
    assert float(found) == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert float(generator_loss("hinge", logits(3.0, -1.0))) == pytest.approx(-1.0)


def test_cross_entropy_is_that_of_the_labels():
    real, fake = logits(1.0, 2.0), logits(-1.0, 0.0)

    def entropy(label, values):
        p = 1 / (1 + np.exp(-values.numpy()))
        return float(np.mean(-label * np.log(p) - (1 - label) * np.log(1 - p)))

    found = discriminator_loss("cross-entropy", real, fake, smoothing=0.1)
    assert float(found) == pytest.approx(entropy(0.9, real) + entropy(0, fake), rel=1e-5)
    assert float(generator_loss("cross-entropy", fake)) == pytest.approx(entropy(1, fake), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_pull_real_up_and_fake_down_and_the_generator_the_other_way(name):
    real, fake = logits(0.2), logits(-0.2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        judged = discriminator_loss(name, real, fake, smoothing=0.1)
        drawn = generator_loss(name, fake)
    assert float(tape.gradient(judged, real)[0, 0]) < 0 < float(tape.gradient(judged, fake)[0, 0])
    assert float(tape.gradient(drawn, fake)[0, 0]) < 0
