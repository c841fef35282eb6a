"""A run directory is one training's at a time, and keeps to the recipe that it was begun with."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mounts import read_only
from training.__main__ import main
from training.config import TrainConfig
from training.run_directory import RunMismatch, claim, held

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr("training.__main__.load_images", lambda *_, **__: pytest.fail("it began"))


def refusal(out, capsys):
    """The one sentence with which a training in ``out`` ends before any work."""
    assert main(["--out", str(out)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: --out {out} ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize("below", ["", "/run"])
def test_file_in_the_place_of_the_run_directory_is_told_before_any_work(
    below, tmp_path, no_work, capsys
):
    (tmp_path / "file").write_text("mine")
    told = refusal(f"{tmp_path}/file{below}", capsys)
    assert "it is no folder" in told or "Not a directory" in told
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("holds", [[], ["lock"]])
def test_read_only_run_directory_is_told_before_any_work(holds, tmp_path, no_work, capsys):
    for name in holds:
        (tmp_path / name).touch()
    with read_only(tmp_path):
        told = refusal(tmp_path, capsys)
    assert "Read-only file system" in told or "Permission denied" in told


HOLDING = """
import sys, time
from pathlib import Path
from training.run_directory import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_second_training_in_a_run_directory_is_told_which_process_has_it(tmp_path, no_work, capsys):
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout.readline() == "held\n"
            told = refusal(tmp_path, capsys)
            assert f"is in use: process {first.pid} on {socket.gethostname()} trains there" in told
        finally:
            first.kill()
    with held(tmp_path):  # kill -9 has freed it
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()


def test_recipe_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path, TrainConfig(out=tmp_path).recipe())
    monkeypatch.undo()
    claim(tmp_path, TrainConfig(out=tmp_path, seed=1).recipe())
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == 1
