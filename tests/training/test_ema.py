"""The averaged generator follows its source, and has statistics of its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.ema import MovingAverage, estimate_batch_statistics


def network():
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    return keras.Sequential(layers)


def test_average_of_a_still_network_becomes_it():
    source, target = network(), network()
    average = MovingAverage(source, target, decay=0.9)
    for step in range(300):
        average.update(tf.constant(step))
    for a, b in zip(target.trainable_variables, source.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_average_moves_by_the_decay_once_it_is_warm():
    source, target = network(), network()
    source.layers[0].kernel.assign(tf.ones((4, 3)))
    target.layers[0].kernel.assign(tf.zeros((4, 3)))
    MovingAverage(source, target, decay=0.9).update(tf.constant(10**6))
    np.testing.assert_allclose(target.layers[0].kernel, 0.1 * np.ones((4, 3)), rtol=1e-5)


def test_average_follows_quickly_at_first():
    source, target = network(), network()
    target.layers[0].kernel.assign(tf.zeros((4, 3)))
    MovingAverage(source, target, decay=0.999).update(tf.constant(0))
    np.testing.assert_allclose(target.layers[0].kernel, 0.9 * source.layers[0].kernel, rtol=1e-5)


def test_statistics_are_those_of_the_weights_it_has_now():
    generator = network()
    dense, norm = generator.layers
    dense.kernel.assign(2.0 * tf.eye(4)[:, :3])
    dense.bias.assign([5.0, 0.0, -5.0])
    norm.moving_mean.assign([100.0, 100.0, 100.0])
    estimate_batch_statistics(generator, passes=40)
    np.testing.assert_allclose(norm.moving_mean, [5.0, 0.0, -5.0], atol=0.1)
    np.testing.assert_allclose(norm.moving_variance, [4.0, 4.0, 4.0], rtol=0.05)
    assert norm.momentum == pytest.approx(0.99)
