import numpy as np
import pytest

from export.differences import PSNR_CAP, compare, exceeded, off_boundary
from export.tolerances import BF16, F32, GOLDEN_LEVELS, TF32, limits
from server.runtime.plans import Plan


def images(level=100, rows=4):
    return np.full((rows, 2, 2, 3), level, np.uint8)


def test_equal_images_have_no_difference():
    found = compare(images(), images())
    assert (found.levels, found.mean_levels, found.share_above_one) == (0, 0.0, 0.0)
    assert found.psnr_db == PSNR_CAP
    assert list(exceeded(found, F32.ordinary)) == []


def test_black_and_white_are_255_levels_apart():
    found = compare(images(0), images(255))
    assert (found.levels, found.psnr_db) == (255, 0.0)


def test_the_worst_row_is_named():
    altered = images()
    altered[1, 0, 0, 0] += 3
    altered[2, 1, 1, 2] -= 9
    found = compare(altered, images())
    assert (found.levels, found.worst_row) == (9, 2)
    assert found.share_above_one == pytest.approx(2 / 48)


def test_every_broken_limit_is_said():
    said = list(exceeded(compare(images(0), images(255)), BF16.ordinary))
    assert len(said) == 4
    assert "largest difference 255 grey levels (limit 6)" in said[0]


def test_a_byte_may_differ_beside_a_boundary_only():
    levels = np.array([100.5, 100.4999, 100.2]).reshape(3, 1, 1, 1)
    wanted = (levels / 127.5 - 1).astype(np.float32)
    other = np.full((3, 1, 1, 1), 101, np.uint8)
    assert off_boundary(other, wanted, floats=1e-5).tolist() == [2]


def test_golden_tolerance_lets_every_plan_serve_that_passes():
    plans = [F32, BF16, TF32]
    assert max(plan.ordinary.levels for plan in plans) == GOLDEN_LEVELS


def test_each_plan_has_the_limits_of_its_arithmetic():
    assert limits(Plan("cpu", "f32")) is F32
    assert limits(Plan("openvino", "f32")) is F32
    assert limits(Plan("openvino", "bf16")) is BF16
    assert limits(Plan("cuda", "f32")) is TF32
