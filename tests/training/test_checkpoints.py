"""A run directory keeps to the recipe that it was begun with."""

import json

import pytest

from training.checkpoints import RunMismatch, claim
from training.config import TrainConfig


def begun_before_there_was(tmp_path, name):
    """A run directory whose recipe was written when the setting ``name`` did not exist."""
    recipe = TrainConfig(out=tmp_path).recipe()
    del recipe[name]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))


def test_run_older_than_a_setting_goes_on_with_its_default(tmp_path):
    begun_before_there_was(tmp_path, "size")
    claim(tmp_path, TrainConfig(out=tmp_path).recipe())


def test_run_older_than_a_setting_refuses_another_value(tmp_path):
    begun_before_there_was(tmp_path, "size")
    with pytest.raises(RunMismatch, match="size was 32, is 64"):
        claim(tmp_path, TrainConfig(out=tmp_path, size=64).recipe())
