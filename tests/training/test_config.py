"""A setting out of range is refused before anything is trained."""

from pathlib import Path

import pytest

from training.__main__ import parse
from training.config import TrainConfig


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epochs": 0}, "epochs is 0; wanted 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"limit_images": 0}, "limit_images is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"decay_from": 5, "epochs": 5}, "decay_from, decay_to is 5 to 5; wanted epochs in order"),
        ({"decay_to": -1}, "wanted epochs in order"),
        ({"decay_from": 5, "decay_to": 5}, "wanted epochs in order"),
        ({"decay_from": -1, "decay_to": 5}, "wanted epochs in order"),
        ({"beta_1": 1.0}, "beta_1 is 1.0"),
        ({"label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"size": 48}, "size is 48; wanted one of 32, 64, 128"),
        ({"crop_margin": -0.1}, "crop_margin is -0.1; wanted 0 to 1"),
        ({"split": "validation"}, "split is validation; wanted one of train, test, both"),
        ({"views": "rear"}, "views is rear; wanted one of front, front-side"),
        ({"r1_every": 0, "r1_weight": 1.0}, "r1_every is 0; wanted 1 or more"),
        ({"r1_every": 16}, "r1_every is 16; wanted 1, .* means nothing to a run without"),
        ({"loss": "least-squares"}, "loss is least-squares; wanted one of cross-entropy, hinge"),
        ({"loss": "hinge", "label_smoothing": 0.0}, "it means nothing to the hinge loss"),
        ({"strategy": "both"}, "strategy is both; wanted one of single, mirrored"),
        ({"choose_by": "taste"}, "choose_by is taste; wanted swd, features, or an epoch"),
        ({"keep_every": -1}, "keep_every is -1; wanted 0 or more"),
        ({"data": "boats"}, "data is boats; wanted one of cifar10-cars"),
    ],
)
def test_bad_setting_is_named_with_its_value_and_the_wish(settings, told):
    with pytest.raises(ValueError, match=told):
        TrainConfig(out=Path("run"), **settings)


def test_command_line_has_the_same_defaults():
    assert parse(["--out", "run"]) == TrainConfig(out=Path("run"))


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = capsys.readouterr().out
    assert "examples: python -m training --out build/runs/first" in told
    assert "(default: 60)" in told


def test_bad_command_line_ends_with_the_reason(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--out", "run", "--epochs", "0"])
    assert ended.value.code == 2
    assert "epochs is 0; wanted 1 or more" in capsys.readouterr().err


def test_recipe_is_what_decides_the_weights():
    one = TrainConfig(out=Path("a"), epochs=1)
    assert one.recipe() == TrainConfig(out=Path("b"), epochs=9).recipe()
    assert one.recipe() != TrainConfig(out=Path("a"), seed=1).recipe()


def test_rates_fall_evenly_between_two_epochs():
    config = TrainConfig(out=Path("run"), decay_from=100, decay_to=200)
    factors = {epoch: config.rate_factor(epoch) for epoch in (1, 100, 101, 102, 151, 200, 300)}
    wanted = {1: 1.0, 100: 1.0, 101: 1.0, 102: 0.99, 151: 0.5, 200: 0.01, 300: 0.01}
    assert factors == pytest.approx(wanted)
    assert TrainConfig(out=Path("run")).rate_factor(10_000) == 1.0


def test_rates_fall_until_the_last_epoch_unless_told_otherwise():
    config = TrainConfig(out=Path("run"), epochs=80, decay_from=40)
    assert config.recipe()["decay_to"] == 80
    assert config.rate_factor(40) == 1.0
    assert config.rate_factor(80) == pytest.approx(1 / 40)


def test_exported_epoch_is_no_part_of_the_recipe():
    one = TrainConfig(out=Path("a"), choose_by="features", keep_every=5)
    assert one.recipe() == TrainConfig(out=Path("a")).recipe()


def test_settings_that_mean_nothing_beside_others_are_no_part_of_the_recipe():
    recipe = TrainConfig(out=Path("run"), loss="hinge").recipe()
    assert not {"label_smoothing", "r1_every"} & set(recipe)
    lazy = TrainConfig(out=Path("run"), r1_weight=1.0, r1_every=16).recipe()
    assert (lazy["r1_every"], lazy["label_smoothing"]) == (16, 0.1)


def test_size_is_part_of_the_recipe():
    assert TrainConfig(out=Path("run"), size=64).recipe()["size"] == 64


def test_settings_of_other_data_sets_are_no_part_of_the_recipe():
    recipe = TrainConfig(out=Path("run"), data="stanford-cars", crop_margin=0.1).recipe()
    assert (recipe["crop_margin"], recipe["split"]) == (0.1, "both")
    assert "views" not in recipe
    assert not {"crop_margin", "views"} & set(TrainConfig(out=Path("run")).recipe())


@pytest.mark.parametrize("setting", [{"crop_margin": 0.1}, {"split": "test"}])
def test_setting_that_means_nothing_to_the_data_set_is_refused(setting):
    with pytest.raises(ValueError, match=r"the default: it means nothing to folder"):
        TrainConfig(out=Path("run"), data="folder", **setting)
    with pytest.raises(ValueError, match=r"views is front-side; wanted front, the default"):
        TrainConfig(out=Path("run"), data="stanford-cars", views="front-side")
