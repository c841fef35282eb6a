"""The seed rule is a promise: the same seed gives the same latents for ever."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle.latents import SEEDS, latents, latents_range

seeds = st.integers(0, SEEDS - 1)


def by_the_book(seed, latent_dim):
    """The rule as ``latents.py`` states it, one number at a time."""
    half = -(-latent_dim // 2)
    words = np.random.Philox(key=seed).random_raw(2 * half)
    pairs = [
        (math.sqrt(-2 * math.log(((int(a) >> 11) + 1) / 2**53)), math.tau * (int(b) >> 11) / 2**53)
        for a, b in zip(words[:half], words[half:], strict=True)
    ]
    values = [r * math.cos(t) for r, t in pairs] + [r * math.sin(t) for r, t in pairs]
    return np.array(values[:latent_dim])


@given(seeds, st.integers(1, 130))
def test_rule_is_the_one_that_is_written_down(seed, latent_dim):
    np.testing.assert_allclose(
        latents([seed], latent_dim)[0], by_the_book(seed, latent_dim), rtol=2e-7, atol=1e-9
    )


@given(st.lists(seeds, min_size=1, max_size=20))
def test_many_seeds_give_the_bits_of_each_alone(chosen):
    together = latents(chosen, 100)
    alone = [latents([seed], 100)[0] for seed in chosen]
    assert together.tobytes() == np.array(alone).tobytes()


def test_values_of_seed_seven_never_change():
    expected = [0.0713256225, -1.48138762, 0.0574581623, -1.19424331]
    np.testing.assert_allclose(latents([7], 100)[0, :4], expected, rtol=2e-7)


def test_range_counts_up_from_the_first_seed():
    assert (latents_range(SEEDS - 3, 3, 8) == latents([SEEDS - 3, SEEDS - 2, SEEDS - 1], 8)).all()


def test_latents_are_standard_normal():
    sample = latents(range(4000), 100).astype(np.float64).ravel()
    error = 1 / math.sqrt(sample.size)
    assert abs(sample.mean()) < 5 * error
    assert abs(sample.var() - 1) < 5 * error * math.sqrt(2)
    assert abs((sample**3).mean()) < 5 * error * math.sqrt(15)
    assert np.isfinite(sample).all()


def test_neighbouring_seeds_are_not_correlated():
    a, b = latents(range(2000), 100), latents(range(1, 2001), 100)
    assert abs(np.mean(a * b)) < 5 / math.sqrt(a.size)


@pytest.mark.parametrize("seed", [-1, SEEDS])
def test_seed_out_of_range_is_an_error(seed):
    with pytest.raises(OverflowError):
        latents([seed], 100)
