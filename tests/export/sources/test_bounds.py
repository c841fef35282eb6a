"""The range of a generator's images follows from its last operations, where it does at all."""

from math import inf

import pytest
import tensorflow as tf

from export.sources.bounds import bounds

DARK = tf.constant([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        (tf.tanh, (-1, 1)),
        (tf.sigmoid, (0, 1)),
        (lambda x: (tf.tanh(x) + 1) / 2, (0, 1)),
        (lambda x: 255 - tf.sigmoid(x) * 255, (0, 255)),
        (lambda x: tf.transpose(tf.reshape(tf.nn.relu6(x), (-1, 3))), (0, 6)),
        (lambda x: tf.clip_by_value(x, -1, 1), (-1, 1)),
        (lambda x: tf.minimum(tf.nn.relu(x), 255.0), (0, 255)),
        (lambda x: tf.concat([tf.tanh(x), tf.sigmoid(x) * 3], 1), (-1, 3)),
        (lambda x: tf.tanh(x) * DARK, (-0.3, 0.3)),
        (tf.function(tf.tanh), (-1, 1)),
        (tf.nn.relu, (0, inf)),
        (lambda x: x, (-inf, inf)),
        (lambda x: tf.tanh(x) @ tf.ones((3, 3)), (-inf, inf)),
        (lambda x: 1 / tf.tanh(x), (-inf, inf)),
        (lambda x: x * 0.0, (-inf, inf)),
    ],
)
def test_bounds_follow_from_the_last_operations(end, wanted):
    function = tf.function(end, input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    assert bounds(function.get_concrete_function()) == pytest.approx(wanted, abs=1e-6)
