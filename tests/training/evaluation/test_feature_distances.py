"""FID and KID agree with what is known of clouds whose distributions are known."""

import numpy as np
import pytest

from training.evaluation.feature_distances import (
    frechet_distance,
    kernel_distance,
    squared_discrepancy,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def exactly(rng, mean, covariance, count=400):
    """Return points whose sample mean and covariance are exactly these."""
    points = rng.standard_normal((count, len(mean)))
    points -= points.mean(0)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False)))
    return points @ whiten.T @ np.linalg.cholesky(covariance).T + mean


def test_gaussians_along_the_axes_have_the_closed_form(rng):
    """For diagonal covariances the roots' trace is that of the deviations' products."""
    mean_a, mean_b = np.array([0.0, 1, 2]), np.array([3.0, 1, -2])
    spread_a, spread_b = np.array([1.0, 2, 3]), np.array([2.0, 0.5, 3])
    a = exactly(rng, mean_a, np.diag(spread_a**2))
    b = exactly(rng, mean_b, np.diag(spread_b**2))
    wanted = np.square(mean_a - mean_b).sum() + np.square(spread_a - spread_b).sum()
    assert frechet_distance(a, b) == pytest.approx(wanted)


def test_covariances_that_do_not_commute_have_the_root_of_their_product(rng):
    """The eigenvalues of A B are positive, so the trace of its root is the sum of their roots."""
    a, b = np.array([[2.0, 1.2], [1.2, 1]]), np.array([[1.0, -0.8], [-0.8, 3]])
    roots = np.sqrt(np.linalg.eigvals(a @ b))
    wanted = np.trace(a) + np.trace(b) - 2 * roots.sum()
    zero = np.zeros(2)
    assert frechet_distance(exactly(rng, zero, a), exactly(rng, zero, b)) == pytest.approx(wanted)


def test_cloud_is_at_no_frechet_distance_from_itself(rng):
    cloud = rng.standard_normal((50, 80)).astype(np.float32)  # fewer points than dimensions
    assert frechet_distance(cloud, cloud) == pytest.approx(0, abs=1e-4)


def test_frechet_distance_is_symmetric(rng):
    a, b = rng.standard_normal((200, 5)), 2 * rng.standard_normal((300, 5)) + 1
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_kernel_distance_is_unbiased_for_one_distribution(rng):
    found = [
        squared_discrepancy(rng.standard_normal((40, 8)), rng.standard_normal((40, 8)))
        for _ in range(600)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert min(found) < 0 < max(found)


def test_kernel_distance_of_points_is_the_sum_over_pairs():
    a, b = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[2.0, 0], [0, 0]])

    def kernel(x, y):
        return (x @ y / 2 + 1) ** 3

    within_a = np.mean([kernel(a[i], a[k]) for i in range(3) for k in range(3) if i != k])
    within_b = kernel(b[0], b[1])
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert squared_discrepancy(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_other_distribution_is_far_beyond_what_the_subsets_differ_by(rng):
    a, b = rng.standard_normal((500, 8)), rng.standard_normal((500, 8)) + 0.5
    kid = kernel_distance(a, b, subsets=20, subset_size=200)
    assert kid.mean > 5 * kid.deviation
    same = kernel_distance(a, rng.standard_normal((500, 8)), subsets=20, subset_size=200)
    assert abs(same.mean) < 0.2 * kid.mean


def test_seed_decides_the_subsets(rng):
    a, b = rng.standard_normal((300, 4)), rng.standard_normal((300, 4))
    first = kernel_distance(a, b, 5, 100, seed=1)
    assert kernel_distance(a, b, 5, 100, seed=1) == first
    assert kernel_distance(a, b, 5, 100, seed=2) != first


def test_kernel_distance_is_in_thousandths_and_takes_small_sets_whole(rng):
    a, b = rng.standard_normal((30, 4)), rng.standard_normal((40, 4)) + 1
    kid = kernel_distance(a, b, subsets=3, subset_size=1000)
    assert kid.mean == pytest.approx(1e3 * squared_discrepancy(a, b), rel=0.5)
