"""A bundle is judged from a clone, without its training run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from training.evaluation.bundles import open_bundle
from training.evaluation.runs import RunError

BUNDLE = Path(__file__).parents[3] / "models/cars-dcgan/2"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(BUNDLE, tmp_path / "2")


def test_photographs_are_those_of_the_training(photographs):
    bundle = open_bundle(BUNDLE)
    assert bundle.name == "cars-dcgan/2"
    assert bundle.results == Path("build/evaluation/cars-dcgan-2")
    assert (bundle.photographs(None) == photographs).all()


def test_images_depend_on_the_seed():
    bundle = open_bundle(BUNDLE)
    parts = []
    images = bundle.draw(260, 3, parts.append)
    assert (images.shape, images.dtype) == ((260, 32, 32, 3), np.uint8)
    assert parts == [250 / 260, 1]
    assert (images == bundle.draw(260, 3, parts.append)).all()
    assert (images != bundle.draw(260, 4, parts.append)).any()


def test_generator_from_elsewhere_cannot_be_judged(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["lineage"] = {"source": {"sha256": "0" * 64}}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="does not say how the generator was trained"):
        open_bundle(copy)


def test_graph_that_is_none_is_told(copy):
    (copy / "generator.onnx").write_bytes(b"no graph")
    with pytest.raises(RunError, match=str(copy)):
        open_bundle(copy).draw(4, 0, lambda part: None)
