"""The search, on generators that are plain arithmetic."""

import numpy as np
import pytest

from inversion.losses import LOSSES
from inversion.photograph import Photograph, to_bytes
from inversion.search import Settings, search, starts

DIM, SHAPE = 6, (8, 8, 3)
MATRIX = np.random.default_rng(0).normal(0, 0.5, (DIM, 8 * 8 * 3)).astype(np.float32)


def draw(latents):
    return np.tanh(latents @ MATRIX).reshape(-1, *SHAPE)


def pull(latents, cotangents):
    slopes = (1 - np.square(np.tanh(latents @ MATRIX))) * cotangents.reshape(len(latents), -1)
    return slopes @ MATRIX.T


def photograph_of(latents, shown=None):
    pixels = to_bytes(draw(latents[np.newaxis])[0])
    return Photograph(pixels, np.ones((8, 8, 1), np.float32) if shown is None else shown)


def found(photograph, loss="pixel", distribution="normal", **settings):
    settings = Settings(**{"prior": 0.0, "restarts": 4, **settings})
    return [*search(draw, pull, LOSSES[loss](photograph), DIM, distribution, settings)]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_losses_are_those_of_differences(loss):
    chance = np.random.default_rng(3)
    shown = (chance.random((8, 8, 1)) > 0.3).astype(np.float32)
    photograph = Photograph(chance.integers(0, 256, SHAPE, np.uint8), shown)
    images = chance.uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    way = chance.standard_normal(images.shape).astype(np.float32)
    of = LOSSES[loss](photograph)
    losses, slopes = of(images)
    assert losses.dtype == slopes.dtype == np.float32
    assert slopes.shape == images.shape
    assert not slopes[:, shown[:, :, 0] == 0].any()
    apart = (of(images + 0.01 * way)[0] - of(images - 0.01 * way)[0]) / 0.02
    np.testing.assert_allclose((slopes * way).sum(axis=(1, 2, 3)), apart, rtol=1e-3)
    assert of(photograph.values[np.newaxis])[0][0] == 0


def test_losses_do_not_grow_with_what_is_hidden():
    truth = np.zeros(SHAPE, np.uint8)
    half = np.ones((8, 8, 1), np.float32)
    half[:, 4:] = 0
    for loss in LOSSES.values():
        whole = loss(Photograph(truth, np.ones((8, 8, 1), np.float32)))
        part = loss(Photograph(truth, half))
        assert whole(np.zeros((1, *SHAPE), np.float32))[0] == pytest.approx(1, rel=1e-5)
        assert part(np.zeros((1, *SHAPE), np.float32))[0] == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("loss", LOSSES)
def test_latents_of_an_image_are_found_again(loss):
    truth = np.random.default_rng(5).standard_normal(DIM).astype(np.float32)
    last = found(photograph_of(truth), loss)[-1]
    np.testing.assert_allclose(last.latents, truth, atol=0.02)
    # Alone they are drawn by another product of matrices, which may round otherwise.
    np.testing.assert_allclose(last.image, draw(last.latents[np.newaxis])[0], atol=1e-6)


def test_what_is_hidden_is_filled_in_from_the_rest():
    truth = np.random.default_rng(5).standard_normal(DIM).astype(np.float32)
    half = np.ones((8, 8, 1), np.float32)
    half[:, 4:] = 0
    photograph = photograph_of(truth, half)
    photograph.pixels[:, 4:] = 77  # nobody looks there
    last = found(photograph)[-1]
    assert np.abs(last.image - draw(truth[np.newaxis])[0]).max() < 0.05


def test_nearest_image_so_far_is_told_after_every_step():
    steps = found(photograph_of(np.ones(DIM, np.float32)), steps=30)
    assert [x.step for x in steps] == [*range(1, 31)]
    losses = [x.loss for x in steps]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 10


def test_starts_are_the_nearest_of_chance_latents_and_the_same_every_time():
    photograph = photograph_of(np.ones(DIM, np.float32))
    loss = LOSSES["pixel"](photograph)
    some = starts(draw, loss, DIM, "normal", Settings(restarts=3))
    many = starts(draw, loss, DIM, "normal", Settings(restarts=30))
    np.testing.assert_array_equal(some, many[:3])
    assert (np.diff(loss(draw(many))[0]) >= 0).all()
    other = starts(draw, loss, DIM, "normal", Settings(restarts=3, seed=1))
    assert not np.array_equal(some, other)


def test_prior_keeps_latents_probable():
    truth = np.full(DIM, 3, np.float32)
    far, near = (
        np.square(found(photograph_of(truth), prior=prior)[-1].latents).mean()
        for prior in (0.0, 0.1)
    )
    assert near < far / 2


def test_uniform_latents_stay_in_their_range():
    steps = found(photograph_of(np.full(DIM, 3, np.float32)), distribution="uniform")
    assert np.abs(steps[-1].latents).max() <= 1
    assert steps[-1].loss < steps[0].loss
