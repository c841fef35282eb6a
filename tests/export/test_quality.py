"""An export says how good a model is beside the newest version of its name."""

import json

import pytest

from export.quality import beside_newest, evaluation_of

DATA = {"name": "cifar10-cars", "sha256": "a" * 64}


def evaluated(frechet, images=3000):
    """What a manifest has of an evaluation."""
    found = {"classifier": {"frechet": {"generated": frechet, "baseline": 0.2}}}
    return {"how": {}, "results": {"images_per_half": images, **found}}


@pytest.fixture
def models(tmp_path):
    """A repository with versions 2 and 10 of a model."""

    def write(version, evaluation=None, **training):
        folder = tmp_path / "models/cars" / version
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"lineage": {"training": training}, "evaluation": evaluation or {}}
        (folder / "manifest.json").write_text(json.dumps(facts))

    write("2", data=DATA, metrics={"swd": 50.0})
    write("10", data=DATA, metrics={"swd": 8.0}, evaluation=evaluated(1.0))
    write.folder = tmp_path / "models"
    return write


def told(models, version="11", **training):
    return beside_newest({"data": DATA, **training}, models.folder, "cars", version)


def test_much_larger_distance_is_a_warning_that_says_what_to_do(models):
    quality, warning = told(models, metrics={"swd": 95.0})
    assert quality == (
        "quality: sliced Wasserstein distance 95.00; cars/10 has 8.00 (less is better)"
    )
    assert warning.startswith("WARNING: this model is clearly worse than cars/10")
    assert f"Remove {models.folder}/cars/11" in warning
    assert "CARFRONT_VERSION=10" in warning


def test_model_that_is_about_as_good_is_told_without_a_warning(models):
    (quality,) = told(models, metrics={"swd": 9.5})
    assert "9.50" in quality


def test_distance_of_features_goes_before_the_other(models):
    quality, warning = told(models, metrics={"swd": 1.0}, evaluation=evaluated(2.0))
    assert "distance of features 2.00; cars/10 has 1.00" in quality
    assert "WARNING" in warning


def test_distances_of_other_numbers_of_images_are_not_compared(models):
    (quality,) = told(models, metrics={"swd": 8.5}, evaluation=evaluated(2.0, images=500))
    assert "sliced Wasserstein distance 8.50; cars/10 has 8.00" in quality


def test_version_before_it_is_the_one_compared(models):
    (quality,) = told(models, version="3", metrics={"swd": 50.0})
    assert "cars/2 has 50.00" in quality


def test_nothing_is_said_of_a_first_version_or_of_a_generator_from_elsewhere(models):
    assert told(models, version="1", metrics={"swd": 50.0}) == []
    assert beside_newest({}, models.folder, "cars", "11") == []


def test_other_photographs_or_no_figure_are_not_compared(models):
    (other,) = told(models, data=DATA | {"sha256": "b" * 64}, metrics={"swd": 1.0})
    assert other == "quality: not compared with cars/10, which was trained on other photographs"
    (none,) = told(models)
    assert none == "quality: not compared with cars/10: they have no figure in common"


def test_evaluation_of_another_epoch_is_not_the_models(tmp_path):
    (tmp_path / "evaluation").mkdir()
    results = {"images_per_half": 3000, "classifier": {}, "swd_x1e3": {"mean": {"generated": 8.0}}}
    found = {"run": {"exported_epoch": 7}, "evaluation": {"seed": 0}, "results": results}
    (tmp_path / "evaluation/evaluation.json").write_text(json.dumps(found))
    (tmp_path / "run.json").write_text(json.dumps({"epochs": 9, "exported_epoch": 7}))
    assert evaluation_of(tmp_path) == {"how": {"seed": 0}, "results": results}
    (tmp_path / "run.json").write_text(json.dumps({"epochs": 9}))
    assert evaluation_of(tmp_path) == {}
    assert evaluation_of(tmp_path / "nowhere") == {}
