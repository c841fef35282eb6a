"""The way between two seeds begins and ends with their latents, and is an arc or a line."""

import numpy as np
import pytest

from server.api.interpolation import spherical, straight, way
from server.bundle.latents import latents
from server.bundle.manifest import LatentsFacts

NORMAL, UNIFORM = LatentsFacts(100, "normal", 1), LatentsFacts(100, "uniform", 2)
PARTS = np.linspace(0, 1, 9)


@pytest.mark.parametrize("facts", [NORMAL, UNIFORM])
@pytest.mark.parametrize("truncation", [1.0, 0.3])
@pytest.mark.parametrize("steps", [2, 7])
def test_ends_are_the_latents_of_the_seeds_bit_by_bit(facts, truncation, steps):
    rows = way(7, 2**64 - 1, steps, truncation, facts)
    own = latents([7, 2**64 - 1], 100, facts.distribution) * np.float32(truncation)
    assert rows.dtype == np.float32
    assert rows.shape == (steps, 100)
    assert rows[[0, -1]].tobytes() == own.tobytes()


def test_normal_latents_keep_their_length_and_turn_evenly():
    rows = way(1, 2, 9, 1.0, NORMAL).astype(float)
    lengths = np.linalg.norm(rows, axis=1)
    assert lengths == pytest.approx(np.linspace(lengths[0], lengths[-1], 9))
    directions = rows / lengths[:, None]
    turned = np.arccos((directions[1:] * directions[:-1]).sum(axis=1))
    assert turned == pytest.approx(turned[0])


def test_uniform_latents_go_straight_and_stay_in_their_cube():
    rows = way(1, 2, 9, 1.0, UNIFORM)
    assert np.abs(rows).max() <= 1
    for step in np.diff(rows, axis=0):
        assert step == pytest.approx((rows[-1] - rows[0]) / 8, abs=1e-6)


def test_equal_latents_stay_where_they_are():
    rows = way(5, 5, 6, 0.7, NORMAL)
    assert rows == pytest.approx(np.repeat(rows[:1], 6, axis=0), abs=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 100])
def test_opposite_latents_have_an_arc_that_keeps_their_length(dim):
    first = latents([7], dim)[0].astype(float)
    points = spherical(first, -first, PARTS)
    lengths = np.linalg.norm(points, axis=1)
    assert lengths == pytest.approx(np.linalg.norm(first))
    assert points[-1] == pytest.approx(-first)
    assert points[4] @ first == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "last"),
    [([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0]), ([0.0], [0.0]), ([2.0], [-1.0])],
)
def test_latents_that_have_no_arc_have_a_way_of_finite_numbers(first, last):
    points = spherical(np.array(first), np.array(last), PARTS)
    assert np.isfinite(points).all()
    assert points[0] == pytest.approx(first)
    assert points[-1] == pytest.approx(last)


def test_straight_way_is_in_its_middle_halfway():
    assert straight(np.zeros(2), np.array([2.0, 4.0]), np.array([0.5])).tolist() == [[1.0, 2.0]]
