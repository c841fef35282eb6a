"""A generator that repeats itself is less diverse than photographs are."""

import numpy as np

from training.evaluation.diversity import diversity


def test_photographs_are_as_diverse_as_other_photographs(shuffled):
    one, other = diversity(shuffled[:1000]), diversity(shuffled[1000:2000])
    assert abs(one.pixels / other.pixels - 1) < 0.03
    assert abs(one.coarse / other.coarse - 1) < 0.03


def test_few_cars_over_and_over_have_low_diversity(shuffled):
    collapsed = diversity(np.repeat(shuffled[:2], 200, axis=0))
    whole = diversity(shuffled[:400])
    assert collapsed.pixels < 0.85 * whole.pixels
    assert collapsed.coarse < 0.85 * whole.coarse


def test_noise_on_one_scene_is_diverse_in_its_pixels_alone(shuffled):
    noise = np.random.default_rng(0).integers(-120, 120, (200, 32, 32, 3))
    noisy = np.clip(shuffled[:1].astype(int) + noise, 0, 255).astype(np.uint8)
    found, whole = diversity(noisy), diversity(shuffled[:200])
    assert found.pixels > 0.6 * whole.pixels
    assert found.coarse < 0.4 * whole.coarse
