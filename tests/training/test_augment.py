"""Each augmentation alters what it says, an image on its own, by its seed, and passes gradients."""

import numpy as np
import pytest
import tensorflow as tf

from training.augment import AUGMENTATIONS, augment, color, cutout, translation

SEED = tf.constant([3, 4], tf.int64)


@pytest.fixture(scope="module")
def images(photographs):
    return tf.constant(photographs[:64].astype(np.float32) / 127.5 - 1.0)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seed_decides(images, name):
    once = augment(images, (name,), SEED)
    assert (once.numpy() == augment(images, (name,), SEED).numpy()).all()
    assert (once.numpy() != augment(images, (name,), SEED + 1).numpy()).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_reach_the_images(images, name):
    with tf.GradientTape() as tape:
        tape.watch(images)
        altered = tf.reduce_sum(augment(images, (name,), SEED))
    gradient = tape.gradient(altered, images).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any(axis=(1, 2, 3)).all()


def test_no_names_alter_nothing(images):
    assert augment(images, (), SEED) is images


def test_names_draw_apart(images):
    """In one call the second of two must not repeat the first one's random numbers."""
    twice = augment(images, ("translation", "translation"), SEED)
    same_again = translation(translation(images, SEED), SEED)
    assert (twice.numpy() != same_again.numpy()).any()


def test_colors_keep_the_outlines(images):
    altered = color(images, SEED).numpy()
    shift = altered.mean(axis=(1, 2, 3)) - images.numpy().mean(axis=(1, 2, 3))
    assert shift.min() < -0.4
    assert shift.max() > 0.4
    grey, altered_grey = images.numpy().mean(axis=3), altered.mean(axis=3)
    for one, other in zip(grey, altered_grey, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999
    spread = altered_grey.std(axis=(1, 2)) / grey.std(axis=(1, 2))
    assert (spread.min() > 0.49, spread.max() < 1.51, np.ptp(spread) > 0.5) == (True,) * 3


def test_translation_shifts_whole_pixels_and_fills_with_grey():
    pixel = np.zeros((200, 32, 32, 3), np.float32)
    pixel[:, 16, 16] = 1.0
    altered = translation(tf.constant(pixel), SEED).numpy()
    assert (altered.sum(axis=(1, 2, 3)) == 3).all()
    places = np.argwhere(altered[..., 0])[:, 1:] - 16
    assert set(places[:, 0]) == set(places[:, 1]) == set(range(-4, 5))
    corner = np.zeros((200, 32, 32, 3), np.float32)
    corner[:, 0, 0] = 1.0
    assert set(np.unique(translation(tf.constant(corner), SEED))) == {0.0, 1.0}


def test_cutout_greys_a_square_of_half_the_side():
    white = np.ones((400, 32, 32, 3), np.float32)
    holes = 1 - cutout(tf.constant(white), SEED).numpy()[..., 0]
    heights, widths = holes.max(axis=2).sum(axis=1), holes.max(axis=1).sum(axis=1)
    assert (holes.sum(axis=(1, 2)) == heights * widths).all()
    assert heights.max() == widths.max() == 16
    assert heights.min() <= 9  # the square may lie half beyond the edge
    everywhere = holes.mean(axis=0)
    assert everywhere.min() > 0.05
