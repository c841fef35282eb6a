import keras
import numpy as np
import pytest
import tensorflow as tf

from training.normalization import BatchNormalization


def _step(layer: keras.layers.Layer, images: tf.Tensor) -> dict[str, np.ndarray]:
    """Return all that one training step makes of ``images``."""
    rng = np.random.default_rng(1)
    layer.build(images.shape)
    layer.gamma.assign(rng.normal(1, 0.3, images.shape[-1]))
    layer.beta.assign(rng.normal(0, 0.3, images.shape[-1]))
    weights = tf.constant(rng.normal(size=images.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
    sources = [images, layer.gamma.value, layer.beta.value]
    gradients = tape.gradient(loss, sources)
    return {
        "outputs": tf.cast(outputs, tf.float32).numpy(),
        "images' gradient": tf.cast(gradients[0], tf.float32).numpy(),
        "gamma's gradient": gradients[1].numpy(),
        "beta's gradient": gradients[2].numpy(),
        "mean": layer.moving_mean.numpy(),
        "variance": layer.moving_variance.numpy(),
    }


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 2e-2)], ids=str
)
@pytest.mark.parametrize("shape", [(3, 4, 4, 8), (64, 2, 2, 1), (1, 5, 3, 2)], ids=str)
def test_it_computes_what_keras_computes(policy, tolerance, shape):
    images = tf.constant(np.random.default_rng(0).normal(2, 3, shape), tf.float32)
    ours = _step(BatchNormalization(dtype=policy), images)
    wanted = _step(keras.layers.BatchNormalization(dtype=policy), images)

    for name in wanted:
        scale = max(1.0, float(np.abs(wanted[name]).max()))
        np.testing.assert_allclose(
            ours[name] / scale, wanted[name] / scale, atol=tolerance, err_msg=name
        )


def test_inference_uses_the_moving_statistics():
    images = tf.constant(np.random.default_rng(0).normal(2, 3, (4, 4, 4, 2)), tf.float32)
    layer = BatchNormalization()
    layer.build(images.shape)
    layer.moving_mean.assign([1.0, -1.0])
    layer.moving_variance.assign([4.0, 9.0])

    expected = (images.numpy() - [1.0, -1.0]) / np.sqrt(np.array([4.0, 9.0]) + layer.epsilon)

    np.testing.assert_allclose(layer(images, training=False), expected, atol=1e-5)


def test_a_frozen_layer_learns_no_statistics():
    layer = BatchNormalization()
    layer.build((4, 4, 4, 2))
    layer.trainable = False

    layer(tf.ones((4, 4, 4, 2)), training=True)

    np.testing.assert_array_equal(layer.moving_mean.numpy(), [0.0, 0.0])
