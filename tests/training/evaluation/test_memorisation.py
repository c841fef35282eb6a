"""Copies are found, mirrored or a little altered; fresh photographs are not."""

import numpy as np
import pytest

from training.evaluation.distances import mirrored
from training.evaluation.memorisation import ahead, memorisation


@pytest.fixture(scope="module")
def training(shuffled):
    return shuffled[:1500]


@pytest.fixture(scope="module")
def fresh(shuffled):
    return shuffled[2000:2400]


def grainy(images):
    noise = np.random.default_rng(0).normal(0, 6, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("altered", [lambda x: x, mirrored, grainy])
def test_copies_are_found(training, altered):
    found = memorisation(altered(training[:400]), training)
    assert found.copied > 0.98
    assert found.near_share > 0.98
    assert found.nearer > 0.9
    assert (found.generated.index == np.arange(400)).mean() > 0.98
    assert ((found.generated.flipped == (altered is mirrored)).mean()) > 0.98


def test_fresh_photographs_are_not_called_copies(training, fresh):
    found = memorisation(fresh, training)
    assert found.copied < 0.05
    assert found.near_share < 0.05
    assert found.nearer < 0.1
    assert found.farther < 0.1


def test_few_copies_among_many_fresh_ones_are_counted(training, fresh):
    mixed = np.concatenate([fresh[:360], mirrored(training[:40])])
    plain = memorisation(fresh, training)
    assert memorisation(mixed, training).copied - plain.copied == pytest.approx(0.1, abs=0.02)


def test_photographs_held_out_are_the_reference_where_there_are_any(training, fresh, shuffled):
    others = shuffled[3000:3300]
    found = memorisation(fresh, training, held_out=others)
    assert found.held_out
    assert len(found.real.distance) == 300
    assert found.near_share < 0.05
    assert not memorisation(fresh[:20], training).held_out


def test_without_them_each_photograph_is_measured_against_the_others(training, fresh):
    found = memorisation(fresh, training)
    assert len(found.real.distance) == len(fresh)
    assert (found.real.distance > 0).all()


def test_twins_in_the_data_do_not_lower_the_bar(training, fresh):
    doubled = np.concatenate([training, grainy(training[:150])])
    found = memorisation(fresh, doubled)
    assert found.twins > 0.1
    assert found.near > 15


def test_share_runs_ahead_by_what_is_nearer():
    near, far = np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6])
    assert ahead(near, far) == 0.5
    assert ahead(far, near) == 0
    assert ahead(near, near) == 0
    assert ahead(near, far + 10) == 1


def test_progress_goes_on_from_one_half_to_the_other(training, fresh):
    parts = []
    memorisation(fresh[:10], training, progress=parts.append)
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.5, 1)
