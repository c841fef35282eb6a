"""Every number stands beside what photographs reach, of as many images."""

import json

import numpy as np
import pytest

from training.evaluation import judge as module
from training.evaluation import swd
from training.evaluation.judge import judge


def silent(name):
    return lambda part: None


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swd, "PATCHES", 32)
        patch.setattr(swd, "DIRECTIONS", 16)
        yield


@pytest.fixture(scope="module")
def honest(shuffled):
    """The judgement of photographs that pass for generated images."""
    return judge(shuffled[:600], shuffled[1000:1600], None, silent)


def test_photographs_are_as_far_from_photographs_as_the_baseline(honest):
    assert honest.images == 300
    assert 0.6 < honest.swd.generated / honest.swd.baseline < 1.6
    assert honest.colour.generated < 3 * honest.colour.baseline + 2
    assert honest.memorisation.near_share < 0.06
    assert honest.fid is None
    assert honest.kid is None


def test_one_image_over_and_over_is_worse_in_every_number(honest, shuffled):
    found = judge(np.repeat(shuffled[:1], 600, axis=0), shuffled[1000:1600], None, silent)
    assert found.swd.generated > 5 * found.swd.baseline
    assert all(pair.generated > 3 * pair.baseline for pair in found.swd_levels.values())
    assert found.colour.generated > 5
    assert found.diversity.pixels < 0.1 * found.real_diversity.pixels
    assert found.swd.baseline == honest.swd.baseline


def test_each_image_is_compared_once_and_with_as_many(shuffled, monkeypatch):
    compared = []

    def spy(a, b, seed):
        compared.append((a, b))
        return swd.SwdResult({32: float(len(compared)), 16: 0.0}, len(a))

    monkeypatch.setattr(module, "sliced_wasserstein", spy)
    photographs, generated = shuffled[:90], shuffled[100:161]
    found = judge(generated, photographs, None, silent, seed=3)
    (real_a, fake_a), (real_b, fake_b), (base_a, base_b) = compared
    assert {len(images) for pair in compared for images in pair} == {30}
    assert (base_a == real_a).all()
    assert (base_b == real_b).all()
    assert (np.concatenate([fake_a, fake_b]) == generated[:60]).all()
    used = {image.tobytes() for image in (*real_a, *real_b)}
    assert len(used) == 60
    assert used <= {image.tobytes() for image in photographs}
    assert found.swd_levels[32] == (1.5, 3)


def test_photographs_are_cut_at_random_for_they_come_sorted(photographs):
    real, _ = module._halves(photographs, None, photographs, seed=0)
    brightness = [half[:, 0, 0].mean() for half in real]
    assert abs(brightness[0] - brightness[1]) < 10


def test_photographs_held_out_are_the_second_half(shuffled):
    train, held_out, drawn = shuffled[:500], shuffled[500:600], shuffled[600:900]
    real, fake = module._halves(train, held_out, drawn, seed=0)
    assert [len(half) for half in (*real, *fake)] == [100] * 4
    assert {x.tobytes() for x in real[0]} <= {x.tobytes() for x in train}
    assert {x.tobytes() for x in real[1]} == {x.tobytes() for x in held_out}


def test_photographs_are_like_photographs_and_noise_is_not(honest, shuffled):
    like = honest.likeness
    assert like.frechet.generated < 1.5 * like.frechet.baseline
    assert like.recall.generated > 0.5
    assert like.cars.generated > 0.9
    noise = np.random.default_rng(0).integers(0, 256, shuffled[:200].shape, np.uint8)
    unlike = judge(noise, shuffled[1000:1200], None, silent).likeness
    assert unlike.frechet.generated > 5 * unlike.frechet.baseline
    assert unlike.coverage.generated < 0.1
    assert unlike.cars.generated < 0.1


def test_inception_gives_fid_and_kid(shuffled, monkeypatch):
    monkeypatch.setattr(
        module,
        "features",
        lambda network, images, tell: images[:, ::8, ::8].reshape(len(images), -1) / 255,
    )
    found = judge(shuffled[:200], shuffled[1000:1200], None, silent, inception="network")
    assert found.fid.generated < 3 * found.fid.baseline
    dull = judge(shuffled[:200] // 3, shuffled[1000:1200], None, silent, inception="network")
    assert dull.fid.generated > 2 * dull.fid.baseline
    assert dull.fid.baseline == found.fid.baseline
    assert dull.kid.generated > 10 * abs(dull.kid.baseline)


def test_too_few_images_are_refused(shuffled):
    with pytest.raises(ValueError, match="3 images and 10 photographs"):
        judge(shuffled[:3], shuffled[:10], None, silent)


def test_numbers_survive_json(honest):
    found = json.loads(json.dumps(honest.as_json()))
    assert found["swd_x1e3"]["mean"]["generated"] == honest.swd.generated
    assert set(found["swd_x1e3"]["levels"]) == {"32", "16"}
    assert found["memorisation"]["reference"] == "each against the others"
    assert found["fid"] is None
