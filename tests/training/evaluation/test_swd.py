"""The distance sees a difference at the scale where it is, and nothing where there is none."""

import numpy as np
import pytest

from training.evaluation import swd
from training.evaluation.swd import level_of, sliced_wasserstein

SIDE = 7


@pytest.fixture(scope="module", autouse=True)
def few_directions():
    """An eighth of the work: the properties hold for any number of patches and directions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swd, "PATCHES", 64)
        patch.setattr(swd, "DIRECTIONS", 32)
        yield


@pytest.fixture(scope="module")
def halves(shuffled):
    return shuffled[:1000], shuffled[1000:2000]


@pytest.fixture(scope="module")
def baseline(halves):
    """The distance of photographs to other photographs: what is no difference at all."""
    return sliced_wasserstein(*halves).levels


def blurred(images):
    """Take what 16 pixels cannot hold out of images of 32, so that their small form stays as is."""
    halve, double = swd._blur(32)[::2], 2 * swd._blur(32)[:, ::2]
    blur = double @ np.linalg.inv(halve @ double) @ halve
    smooth = np.einsum("yh,nhwc,xw->nyxc", blur, images, blur, optimize=True)
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)


def warmer(images):
    """Redden a half of the images: a tint that all shared would be normalised away."""
    tinted = images.astype(np.int64)
    tinted[::2] += np.array([60, 0, -60])
    return np.clip(tinted, 0, 255).astype(np.uint8)


def test_set_is_at_no_distance_from_itself(halves):
    result = sliced_wasserstein(halves[0], halves[0])
    assert result.mean == 0
    assert result.images == 1000


def test_shuffled_set_is_nearer_than_other_photographs(halves, baseline):
    levels = sliced_wasserstein(halves[0], halves[0][::-1]).levels
    assert all(levels[size] < baseline[size] for size in baseline)


def test_levels_go_from_the_image_down_to_sixteen_pixels(halves, baseline):
    assert list(baseline) == [32, 16]
    large = np.kron(halves[0][:40], np.ones((1, 4, 4, 1), np.uint8))
    assert list(sliced_wasserstein(large[:20], large[20:]).levels) == [128, 64, 32, 16]


def test_mean_is_that_of_the_levels(baseline, halves):
    result = sliced_wasserstein(*halves)
    assert result.levels == baseline
    assert result.mean == pytest.approx((baseline[32] + baseline[16]) / 2)


def test_blur_shows_at_the_fine_level_alone(halves, baseline):
    levels = sliced_wasserstein(halves[0], blurred(halves[1])).levels
    assert levels[32] > 3 * baseline[32]
    assert levels[16] < 1.5 * baseline[16]


def test_tint_of_some_images_shows_at_the_coarse_level_alone(halves, baseline):
    levels = sliced_wasserstein(halves[0], warmer(halves[1])).levels
    assert levels[16] > 3 * baseline[16]
    assert levels[32] < 1.5 * baseline[32]


def test_tint_and_contrast_that_all_images_share_do_not_show(halves):
    dark = (halves[0] // 4 * 2).astype(np.uint8)
    tinted = dark + np.array([0, 40, 80], np.uint8)
    assert sliced_wasserstein(dark, tinted).mean < 1e-3


def test_order_of_the_two_sets_does_not_matter(halves):
    one, other = halves
    there, back = sliced_wasserstein(one, other), sliced_wasserstein(other, one)
    assert there.levels == pytest.approx(back.levels, rel=1e-6)


def test_seed_decides_the_distance(halves):
    first = sliced_wasserstein(*halves, seed=3)
    assert sliced_wasserstein(*halves, seed=3) == first
    assert sliced_wasserstein(*halves, seed=4) != first


def test_one_image_drawn_over_and_over_is_far_away(halves, baseline):
    levels = sliced_wasserstein(halves[0], np.repeat(halves[1][:1], 1000, axis=0)).levels
    assert all(levels[size] > 5 * baseline[size] for size in baseline)


def test_blank_images_have_a_distance_too(halves):
    assert np.isfinite(sliced_wasserstein(halves[0], np.zeros_like(halves[0])).mean)


def test_sets_of_other_shapes_or_sizes_are_refused(halves):
    with pytest.raises(ValueError, match=r"wanted equal shapes"):
        sliced_wasserstein(halves[0], halves[1][:-1])
    with pytest.raises(ValueError, match=r"images of 24x24 pixels; wanted squares of \[16, 32"):
        sliced_wasserstein(halves[0][:, 4:28, 4:28], halves[1][:, 4:28, 4:28])
    with pytest.raises(ValueError, match="images of 32x16 pixels"):
        sliced_wasserstein(halves[0][:, :, :16], halves[1][:, :, :16])


def filtered(image, weight):
    """Return a channel [H, W], filtered pixel by pixel; borders mirror."""
    height, width = image.shape
    taps = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) * weight / 256
    padded = np.pad(image.astype(float), 2, mode="reflect")
    rows = [
        [(padded[y : y + 5, x : x + 5] * taps).sum() for x in range(width)] for y in range(height)
    ]
    return np.array(rows)


def test_pyramid_is_burt_and_adelsons(halves):
    channel = halves[0][0, :, :, 1].astype(float)
    small = filtered(channel, 1)[::2, ::2]
    spread = np.zeros((32, 32))
    spread[::2, ::2] = small
    fine, coarse = (level_of(halves[0][:1], size)[0, :, :, 1] for size in (32, 16))
    np.testing.assert_allclose(coarse, small, atol=1e-3)
    np.testing.assert_allclose(fine, channel - filtered(spread, 4), atol=1e-3)


def test_descriptors_are_patches_of_seven_pixels_normalised_by_channel(halves):
    level = level_of(halves[0][:50], 16)
    corners = np.random.default_rng(0).integers(0, 10, (2, 50, 8))
    cloud = swd.descriptors(level, corners)
    assert cloud.shape == (400, 147)
    channels = cloud.reshape(-1, 3)
    np.testing.assert_allclose(channels.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(channels.std(0), 1, atol=1e-4)
    row, column = corners[:, 3, 5]
    patch = level[3, row : row + SIDE, column : column + SIDE].reshape(-1, 3)
    ours = cloud[3 * 8 + 5].reshape(-1, 3)
    np.testing.assert_allclose(np.corrcoef(patch[:, 2], ours[:, 2])[0, 1], 1, atol=1e-5)


def test_distance_is_the_mean_shift_along_a_direction(monkeypatch):
    """For two clouds that differ by a shift, every direction's distance is its part of it."""
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((500, 4), np.float32)
    shift = np.array([0.5, 0, 0, 0], np.float32)
    found = swd._distance(cloud, cloud + shift, np.random.default_rng(1))
    directions = np.random.default_rng(2).standard_normal((200_000, 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert found == pytest.approx(np.abs(directions @ shift).mean(), rel=0.1)


def test_patches_reach_every_edge_and_go_over_none(halves, monkeypatch):
    seen = []
    cut = swd.descriptors
    monkeypatch.setattr(swd, "descriptors", lambda *a: seen.append(a[1]) or cut(*a))
    sliced_wasserstein(*halves)
    assert [(corners.min(), corners.max()) for corners in seen[::2]] == [(0, 25), (0, 9)]
    assert all((one == other).all() for one, other in zip(seen[::2], seen[1::2], strict=True))


def test_distances_are_in_thousandths(halves, monkeypatch):
    monkeypatch.setattr(swd, "_distance", lambda *_: 0.25)
    assert sliced_wasserstein(*halves).levels == {32: 250, 16: 250}
