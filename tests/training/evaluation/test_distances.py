"""Distances agree with the plain formula, and the nearest is the nearest."""

import numpy as np
import pytest

from training.evaluation import distances
from training.evaluation.distances import mean_pairwise, mirrored, nearest, vectors


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that divide nothing: every merge between them is taken."""
    monkeypatch.setattr(distances, "BLOCK", 7)


def plain(one, other):
    """The root mean square difference of two images, in grey levels."""
    return np.sqrt(np.square(one.astype(float) - other.astype(float)).mean())


def test_mean_of_all_pairs_is_that_of_the_formula(shuffled, small_blocks):
    images = shuffled[:30]
    pairs = [plain(images[i], images[k]) for i in range(30) for k in range(i)]
    assert mean_pairwise(vectors(images)) == pytest.approx(np.mean(pairs), rel=1e-5)


def test_nearest_two_are_those_of_the_formula(shuffled, small_blocks):
    images, photographs = shuffled[:20], shuffled[100:150]
    found = nearest(images, photographs)
    for k, image in enumerate(images):
        straight = [plain(image, x) for x in photographs]
        mirror = [plain(image, x) for x in mirrored(photographs)]
        each = np.minimum(straight, mirror)
        assert found.index[k] == each.argmin()
        assert found.flipped[k] == (mirror[each.argmin()] < straight[each.argmin()])
        assert found.distance[k] == pytest.approx(np.sort(each)[0], rel=1e-5)
        assert found.second[k] == pytest.approx(np.sort(each)[1], rel=1e-5)


def test_mirrored_photograph_is_not_its_own_second_nearest(shuffled):
    symmetric = np.concatenate([shuffled[:5, :, :16], mirrored(shuffled[:5, :, :16])], axis=2)
    found = nearest(symmetric, symmetric)
    assert (found.index == np.arange(5)).all()
    assert (found.distance == 0).all()
    assert (found.second > 10).all()


def test_image_is_not_its_own_nearest_photograph(shuffled, small_blocks):
    photographs = shuffled[:40]
    own = np.arange(3, 23)
    found = nearest(photographs[own], photographs, own)
    assert (found.index != own).all()
    assert (found.distance > 0).all()


def test_exact_copy_is_at_no_distance_at_all(shuffled):
    found = nearest(shuffled[5:8], shuffled[:20])
    assert found.distance.tolist() == [0, 0, 0]
    assert found.ratio.tolist() == [0, 0, 0]


def test_large_images_are_compared_at_32_pixels(shuffled):
    large = np.kron(shuffled[:9], np.ones((1, 4, 4, 1), np.uint8))
    np.testing.assert_array_equal(vectors(large), vectors(shuffled[:9]))


def test_progress_ends_at_one(shuffled, small_blocks):
    parts = []
    nearest(shuffled[:3], shuffled[:20], progress=parts.append)
    mean_pairwise(vectors(shuffled[:20]), parts.append)
    assert parts == [7 / 20, 14 / 20, 1, 7 / 20, 14 / 20, 1]
