"""A variant added to a bundle that is there, whose SavedModel is not at hand."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from export.convert import LATENTS
from export.rewrites.halves import halves
from export.variants.add import main, plain_latents
from server.bundle import repository
from server.bundle.latents import latents

ROOT = Path(__file__).parents[3]


def draw(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {LATENTS: latents(range(32), 100)})[0]


def test_halves_of_the_latents_are_joined_again():
    bundle = repository.find(ROOT / "models", "cars-dcgan", "2")
    model = onnx.load(str(bundle.path / "generator-float.onnx"))
    plain = plain_latents(model)
    assert not {"Cast", "Sub"} & {node.op_type for node in plain.graph.node}
    np.testing.assert_allclose(draw(plain), draw(model), atol=1e-5)
    again = halves(plain)
    assert "Floor" in {node.op_type for node in again.graph.node}
    np.testing.assert_array_equal(draw(plain_latents(again)), draw(plain))


def test_variant_that_the_bundle_has_is_not_added_again(capsys):
    assert main([str(ROOT / "models/cars-dcgan/2"), "fp16", "--version", "9000"]) == 1
    assert "has the variant fp16 already" in capsys.readouterr().err
    assert not (ROOT / "models/cars-dcgan/9000").exists()


def test_version_that_exists_is_kept(capsys):
    assert main([str(ROOT / "models/cars-dcgan/1"), "exact", "--version", "2"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_folder_without_a_bundle_is_refused_in_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path), "exact", "--version", "1"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
