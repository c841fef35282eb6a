"""A run is judged with its own photographs, or a sentence says what is wrong."""

import json
import shutil

import numpy as np
import pytest

from training.data import Source, digest
from training.evaluation import runs
from training.evaluation.runs import RunError, open_run


@pytest.fixture
def copy(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "copy")


def alter(folder, **changes):
    facts = json.loads((folder / "run.json").read_text())
    for name, change in changes.items():
        facts[name] |= change
    (folder / "run.json").write_text(json.dumps(facts))


def test_photographs_are_those_of_the_run(run_folder, photographs):
    run = open_run(run_folder)
    assert run.name == "tiny & odd"
    assert (run.photographs(None) == photographs[:64]).all()
    assert run.held_out(None) is None


def test_photographs_of_another_digest_are_refused(copy):
    alter(copy, recipe={"limit_images": 63})
    with pytest.raises(RunError, match=r"not those of the run: 63 with digest .* --data-path"):
        open_run(copy).photographs(None)


def test_run_of_three_photographs_cannot_be_judged(copy, photographs):
    alter(copy, recipe={"limit_images": 3}, data={"sha256": digest(photographs[:3])})
    with pytest.raises(RunError, match="3 photographs; wanted 4"):
        open_run(copy).photographs(None)


def test_data_that_cannot_be_had_is_told(run_folder, tmp_path):
    with pytest.raises(RunError, match=str(tmp_path)):
        open_run(run_folder).photographs(tmp_path)


def test_images_depend_on_the_seed_and_not_on_the_batch(run_folder, monkeypatch):
    parts = []
    run = open_run(run_folder)
    images = run.draw(20, 3, parts.append)
    assert (images.shape, images.dtype) == ((20, 32, 32, 3), np.uint8)
    assert parts == [1]
    monkeypatch.setattr(runs, "BATCH", 8)
    again = run.draw(20, 3, parts.append)
    assert np.abs(again.astype(int) - images).max() <= 1
    assert parts == [1, 0.4, 0.8, 1]
    assert (run.draw(20, 4, parts.append) != images).any()


def test_recipe_decides_what_is_loaded(copy, monkeypatch, photographs):
    asked = []

    def load(name, path, limit, **choices):
        asked.append((limit, choices))
        return photographs[:64]

    monkeypatch.setattr(runs, "load_images", load)
    alter(copy, recipe={"size": 32, "split": "train", "views": "front", "crop_margin": 0.1})
    open_run(copy).photographs(None)
    settings = {"size": 32, "crop_margin": 0.1, "split": "train", "views": "front"}
    assert asked == [(64, settings)]


def test_test_split_is_held_out_of_a_run_on_the_other(copy, monkeypatch, photographs):
    monkeypatch.setitem(runs.SOURCES, "cifar10-cars", Source(choices=("split",)))
    asked = []
    monkeypatch.setattr(
        runs, "load_images", lambda name, path, limit, **choices: asked.append((limit, choices))
    )
    alter(copy, recipe={"split": "train"})
    open_run(copy).held_out(None)
    assert asked == [(None, {"split": "test"})]
    alter(copy, recipe={"split": "both"})
    assert open_run(copy).held_out(None) is None
    assert len(asked) == 1


def test_run_that_is_not_there_or_not_finished_is_told(tmp_path, copy):
    with pytest.raises(RunError, match="nowhere: there is no such run"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"holds no run\.json: the run is not finished"):
        open_run(tmp_path)
    (copy / "run.json").write_text("{}")
    with pytest.raises(RunError, match="is damaged"):
        open_run(copy)


def test_run_without_a_saved_model_is_told(copy):
    shutil.rmtree(copy / "saved_model")
    with pytest.raises(RunError, match="is no SavedModel of a generator"):
        open_run(copy).draw(4, 0, print)


def test_unknown_data_set_is_told(copy):
    alter(copy, data={"name": "boats"})
    with pytest.raises(RunError, match="no data set is called 'boats'"):
        open_run(copy)
