"""Shares of two clouds that overlap wholly, in part, or not at all."""

import numpy as np
import pytest

from training.evaluation.neighbours import overlap


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    return lambda count, at=0.0, spread=1.0: rng.normal(at, spread, (count, 8)).astype(np.float32)


def test_clouds_of_one_distribution_overlap(cloud):
    found = overlap(cloud(500), cloud(500))
    assert 0.6 < found.precision < 0.95
    assert 0.6 < found.recall < 0.95
    assert found.coverage > 0.9


def test_clouds_apart_do_not(cloud):
    found = overlap(cloud(500), cloud(500, at=50))
    assert (found.precision, found.recall, found.coverage) == (0, 0, 0)


def test_collapse_has_precision_and_no_recall(cloud):
    """All images lie close together in the middle of the photographs."""
    found = overlap(cloud(500), cloud(500, spread=0.01))
    assert found.precision > 0.9
    assert found.recall < 0.05
    assert found.coverage < 0.3


def test_rubbish_that_surrounds_the_photographs_has_little_precision(cloud):
    found = overlap(cloud(500), cloud(500, spread=20))
    assert found.precision < 0.1


def test_a_handful_of_points_will_do(cloud):
    found = overlap(cloud(2), cloud(2, at=50))
    assert found.coverage == 0
