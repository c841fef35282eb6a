"""Differentiable augmentation: real and fake images are altered alike for the discriminator.

A discriminator learns 6,000 photographs by heart. Altering only the photographs would teach the
generator the alterations; altering both, by operations that let gradients through, does not.

Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training".
"""

import tensorflow as tf

SHIFT = 1 / 8
"""The largest translation, as a fraction of the image's side."""
CUTOUT = 1 / 2
"""The side of the square that is cut out, as a fraction of the image's side."""


def color(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Change each image's brightness by up to 0.5, saturation up to twofold, contrast by half."""
    shape = (tf.shape(images)[0], 1, 1, 1)
    brightness, saturation, contrast = tf.unstack(tf.random.stateless_uniform((3, *shape), seed))
    images = images + (brightness - 0.5)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * (2.0 * saturation) + grey
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift each image by up to an eighth of its side each way, and fill with grey (0)."""
    rows, side = tf.shape(images)[0], images.shape[1]
    most = round(side * SHIFT)
    shift = tf.random.stateless_uniform((2, rows, 1), seed, -most, most + 1, tf.int32)
    place = tf.range(side)[None, :] + most + shift  # [2, N, side], into the padded images
    padded = tf.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    padded = tf.gather(padded, place[0], axis=1, batch_dims=1)
    return tf.gather(padded, place[1], axis=2, batch_dims=1)


def cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Fill a square of half the side with grey (0) anywhere in each image, also over its edge."""
    rows, side = tf.shape(images)[0], images.shape[1]
    half = round(side * CUTOUT) // 2
    center = tf.random.stateless_uniform((2, rows, 1), seed, 0, side + 1, tf.int32)
    near = tf.abs(2 * (tf.range(side)[None, :] - center) + 1) < 2 * half  # [2, N, side]
    hole = tf.logical_and(near[0][:, :, None, None], near[1][:, None, :, None])
    return tf.where(hole, tf.zeros_like(images), images)


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def augment(images: tf.Tensor, names: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    """Return ``images``, float32 [N, H, W, 3] in about [-1, 1], altered by ``names`` in turn.

    ``seed``, int64 [2], determines every random number.
    """
    if names:
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, len(names)))
        for name, own in zip(names, seeds, strict=True):
            images = AUGMENTATIONS[name](images, own)
    return images
