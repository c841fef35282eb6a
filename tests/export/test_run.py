import json
import shutil

import pytest

from export.config import ExportConfig
from export.errors import RunIncomplete
from export.run import read_run


@pytest.fixture
def folder(run_dir, tmp_path):
    """A run to spoil."""
    return shutil.copytree(run_dir, tmp_path / "run")


def change(folder, **facts):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_finished_run_is_read(folder):
    run = read_run(folder)
    assert (run.latent_dim, run.image_shape) == (100, (32, 32, 3))
    assert run.saved_model == folder / "saved_model"


def test_missing_saved_model_says_to_finish_the_training(folder):
    shutil.rmtree(folder / "saved_model")
    with pytest.raises(RunIncomplete, match="saved_model holds no SavedModel; run the training"):
        read_run(folder)


def test_missing_run_json_says_to_finish_the_training(folder):
    (folder / "run.json").unlink()
    with pytest.raises(RunIncomplete, match=r"run\.json is missing; .* run it to its end"):
        read_run(folder)


@pytest.mark.parametrize("text", ["{", "[]", "null", "\udcff"])
def test_unreadable_run_json_is_refused(folder, text):
    (folder / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunIncomplete, match=r"run\.json"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema_version", 2),
        ("latent_dim", 0),
        ("latent_dim", True),
        ("latent_dim", None),
        ("image_shape", [32, 32]),
        ("image_shape", [32, 32, 2]),
        ("image_shape", [32, 32.0, 3]),
        ("image_shape", None),
        ("image_range", [0.0, 2.0]),
        ("latent_distribution", "uniform"),
    ],
)
def test_run_of_another_kind_is_refused_by_name(folder, name, value):
    change(folder, **{name: value})
    with pytest.raises(RunIncomplete, match=name.split("_")[0]):
        read_run(folder)


@pytest.mark.parametrize("name", ["", "Cars", "../cars", "cars/1", "-cars", "a" * 64])
def test_name_that_no_server_would_find_is_refused(run_dir, name):
    with pytest.raises(ValueError, match="--name is "):
        ExportConfig(run_dir, name, "1")


def test_without_a_version_the_one_after_the_highest_is_taken(run_dir, tmp_path):
    assert ExportConfig(run_dir, "cars", models=tmp_path).version == "1"
    for name in ("2", "10", "9", ".partial-x", "notes"):
        (tmp_path / "cars" / name).mkdir(parents=True)
    assert ExportConfig(run_dir, "cars", models=tmp_path).version == "11"


@pytest.mark.parametrize("version", ["", "0", "01", "1.0", "v1", "latest", "1\n"])
def test_version_that_no_server_would_find_is_refused(run_dir, version):
    with pytest.raises(ValueError, match="--version is "):
        ExportConfig(run_dir, "cars", version)
