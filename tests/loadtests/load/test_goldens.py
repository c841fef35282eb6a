"""Known seeds are compared with a bundle's golden images, byte for byte where that holds."""

import numpy as np
import pytest

from loadtests.answers import Answer, WrongAnswer
from loadtests.load.goldens import Goldens
from loadtests.serving import ROOT

MODEL = "cars-dcgan/2"
GOLDEN = np.load(ROOT / "models" / MODEL / "golden.npy")
EXACT = np.load(ROOT / "models" / MODEL / "golden-exact.npy")
SEEDS = (0, 1, 2, 3)
"""The first golden seeds, which are neighbours."""


@pytest.fixture
def goldens():
    return Goldens(ROOT / "models")


def answer_of(plan, model=MODEL):
    return Answer(200, {"carfront-model": model, "carfront-plan": plan}, b"")


def off_by(levels, images=GOLDEN):
    """Return images of ``SEEDS``, one value of the last of which is off."""
    changed = images[: len(SEEDS)].astype(np.int16)
    at = changed[-1, 5, 6]
    at[1] += levels if at[1] < 128 else -levels
    return changed.astype(np.uint8)


def test_a_plan_that_rounds_otherwise_may_be_off_by_the_bundles_tolerance(goldens):
    goldens.check(answer_of("openvino/bf16"), off_by(0), 0)
    goldens.check(answer_of("openvino/bf16"), off_by(6), 0)
    with pytest.raises(WrongAnswer, match=r"seed 3 is 7 grey levels off .* the plan may be 6"):
        goldens.check(answer_of("openvino/bf16"), off_by(7), 0)


def test_an_exact_plan_has_to_draw_the_same_bytes(goldens):
    goldens.check(answer_of("cpu/exact"), off_by(0, EXACT), 0)
    with pytest.raises(WrongAnswer, match=r"seed 3 is 1 grey levels off .* the plan may be 0"):
        goldens.check(answer_of("cpu/exact"), off_by(1, EXACT), 0)


def test_images_before_and_after_the_known_ones_are_no_matter(goldens):
    unknown = np.zeros((2, 32, 32, 3), np.uint8)
    goldens.check(answer_of("cpu/f32"), unknown, 4)
    with pytest.raises(WrongAnswer, match="seed 7"):
        goldens.check(answer_of("cpu/f32"), unknown, 6)


def test_float_images_are_compared_too_and_what_is_no_number_is_wrong(goldens):
    images = off_by(0).astype(np.float32) + 0.5
    goldens.check(answer_of("openvino/f32"), images, 0)
    images[0, 0, 0, 0] = np.nan
    with pytest.raises(WrongAnswer, match="nan grey levels"):
        goldens.check(answer_of("openvino/f32"), images, 0)


def test_a_bundle_that_is_not_there_has_no_golden_images(goldens, tmp_path):
    black = np.zeros((1, 32, 32, 3), np.uint8)
    goldens.check(answer_of("cpu/f32", model="other/1"), black, 0)
    Goldens(tmp_path).check(answer_of("cpu/f32"), black, 0)
    assert not Goldens(tmp_path).of(MODEL).images
    assert tuple(goldens.of(MODEL).images)[:4] == SEEDS
