"""The seed rule is a promise: the same seed gives the same latents for ever."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle.latents import SEEDS, latents, latents_range

ROOT = Path(__file__).parents[3]
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


NO_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
DIGEST = "8a35a8602542ac679a4e2f69c18cde4321d5db1dca7d698aed2ace0cc9d10615"
"""The SHA-256 of what the program below prints, which holds on every processor."""
PROGRAM = """
import hashlib, numpy
from server.bundle.latents import latents
print(hashlib.sha256(numpy.rint(latents(range(1000), 100) * 1024).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("without", ["", NO_AVX512, f"{NO_AVX512} AVX2 FMA3 X86_V3"])
def test_whole_latents_are_the_same_whatever_a_processor_has(without):
    """NumPy's logarithm has other last bits with AVX-512 than without."""
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": without}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == DIGEST


@pytest.mark.parametrize("factor", [1 - 2.0**-40, 1 + 2.0**-40])
def test_whole_latents_absorb_thousands_of_last_bits_of_a_logarithm(factor, monkeypatch):
    """Processors differ by one such bit: a whole latent changes by it once in 10^12 or less."""
    plain, log = latents(range(3000), 100), np.log
    monkeypatch.setattr(np, "log", lambda x, out: np.multiply(log(x, out=out), factor, out=out))
    moved = latents(range(3000), 100)
    assert (moved != plain).any()
    np.testing.assert_array_equal(np.rint(moved * 1024), np.rint(plain * 1024))


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


def test_uniform_values_of_seed_seven_never_change():
    expected = [0.7441468834877014, -0.409269243478775, -0.15980464220046997, -0.1892155110836029]
    assert latents([7], 100, "uniform")[0, :4].tolist() == expected


@given(seeds, st.integers(1, 130))
def test_uniform_latents_are_those_words_that_the_rule_names(seed, latent_dim):
    words = np.random.Philox(key=seed).random_raw(latent_dim + latent_dim % 2)
    exact = [2 * (int(word) >> 11) / 2**53 - 1 for word in words[:latent_dim]]
    drawn = latents([seed], latent_dim, "uniform")
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, np.array([exact]).astype(np.float32))


def test_uniform_latents_fill_the_range_evenly():
    sample = latents(range(2000), 100, "uniform").ravel()
    assert (np.abs(sample) <= 1).all()
    counts, _ = np.histogram(sample, 20, (-1, 1))
    expected = sample.size / 20
    assert (np.abs(counts - expected) < 5 * math.sqrt(expected)).all()
