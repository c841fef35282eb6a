"""The gradient's graph: made of the generator's, and proven against TensorFlow's own gradient."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tensorflow as tf
from onnx import numpy_helper

from export.convert import LATENTS, convert, write_onnx
from export.errors import ParityFailed, VariantRefused
from export.gradient import rules
from export.gradient.build import COTANGENTS, GRADIENT, gradient_graph, without_weights
from export.gradient.proof import prove_by_differences, prove_by_tensorflow
from export.gradient.reference import load_vjp, vjp_apart
from export.gradient.ship import GRADIENT_FILE, write_gradient
from export.head import add_head, cut_head
from export.rewrites import rewrite
from export.rows import RowFacts
from export.variants.add import main
from server.bundle import repository
from server.bundle.files import load_bundle
from server.bundle.manifest import Variant, write_manifest
from tests.export import networks

ROOT = Path(__file__).parents[3]
FACTS = RowFacts(100)
FLOATS_VARIANT = Variant("floats", "generator-float.onnx", "float32", "none", {})


@pytest.fixture(scope="module")
def vjp(run_dir):
    """TensorFlow's gradient, in this process, where it is loaded already."""
    return load_vjp(run_dir / "saved_model")


def test_gradient_of_a_process_of_its_own_is_the_same(run_dir, vjp):
    rows, cotangents = np.ones((2, 100), np.float32), np.ones((2, 32, 32, 3), np.float32)
    apart = vjp_apart(run_dir / "saved_model", (0.0, 1.0))
    np.testing.assert_allclose(
        apart(rows, cotangents), 2 * vjp(rows, cotangents), rtol=1e-4, atol=1e-4
    )


@pytest.fixture(params=["rewritten", "as converted"])
def floats(request, converted):
    if request.param == "as converted":
        return cut_head(add_head(converted))
    return cut_head(add_head(rewrite(converted)))


def test_gradient_is_tensorflows_and_that_of_differences(tmp_path, floats, vjp):
    path = tmp_path / "gradient.onnx"
    write_onnx(gradient_graph(floats), path)
    by_tensorflow = prove_by_tensorflow(path, floats, FACTS, vjp)
    assert by_tensorflow["largest_difference"] < 1e-3
    by_differences = prove_by_differences(path, floats, FACTS)
    assert by_differences["largest_difference"] < 1e-3


@pytest.mark.parametrize(
    ("network", "image_range"),
    [
        (networks.mnist_dcgan, (-1.0, 1.0)),  # kernels that are no multiple of the stride
        (networks.vae_decoder, (0.0, 1.0)),
        (networks.residual, (-1.0, 1.0)),
    ],
)
def test_gradients_of_other_networks_are_tensorflows(tmp_path, network, image_range):
    keras.utils.set_random_seed(0)
    model = network()
    dim, shape = model.input_shape[1], model.output_shape[1:]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda latents: {"images": model(latents, training=False)},
        input_signature=[tf.TensorSpec((None, dim), tf.float32, name="latents")],
    )
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    floats = convert(tmp_path / "saved", tmp_path, dim, shape, image_range)
    vjp = load_vjp(tmp_path / "saved", image_range)
    for name, graph in (("converted", floats), ("rewritten", rewrite(floats))):
        graph = cut_head(add_head(graph))
        path = tmp_path / f"{name}.onnx"
        write_onnx(gradient_graph(graph), path)
        assert prove_by_tensorflow(path, graph, RowFacts(dim), vjp)["largest_difference"] < 1e-3


@pytest.mark.parametrize("name", ["_leaky_relu", "_tanh", "_matrix"])
def test_fault_in_a_rule_is_found_by_either_proof(tmp_path, converted, vjp, monkeypatch, name):
    kind = {"_leaky_relu": "LeakyRelu", "_tanh": "Tanh", "_matrix": "Gemm"}[name]
    right = getattr(rules, name)

    def wrong(backward, node, gradient):
        right(backward, node, backward.node("Mul", gradient, backward.constant(1.02)))

    monkeypatch.setitem(rules.RULES, kind, wrong)
    floats = cut_head(add_head(rewrite(converted)))
    path = tmp_path / "gradient.onnx"
    write_onnx(gradient_graph(floats), path)
    with pytest.raises(ParityFailed, match="TensorFlow"):
        prove_by_tensorflow(path, floats, FACTS, vjp)
    with pytest.raises(ParityFailed, match="differences"):
        prove_by_differences(path, floats, FACTS)


def test_operator_without_a_rule_leaves_the_bundle_without_the_gradient(
    tmp_path, converted, monkeypatch
):
    monkeypatch.delitem(rules.RULES, "Tanh")
    with pytest.raises(VariantRefused, match="no rule for the operator Tanh"):
        gradient_graph(cut_head(add_head(converted)))
    write_onnx(cut_head(add_head(converted)), tmp_path / FLOATS_VARIANT.file)
    shipped = write_gradient(tmp_path, FLOATS_VARIANT, 0, prove=None)
    assert shipped.variant is None
    assert "no rule for the operator Tanh" in shipped.told
    assert not (tmp_path / GRADIENT_FILE).exists()


def test_gradient_that_is_wrong_is_not_in_the_bundle(tmp_path, converted):
    def prove(path, floats):
        raise ParityFailed(["row 3 is off"])

    write_onnx(cut_head(add_head(converted)), tmp_path / FLOATS_VARIANT.file)
    shipped = write_gradient(tmp_path, FLOATS_VARIANT, 0, prove)
    assert shipped.variant is None
    assert "row 3 is off" in shipped.told
    assert not (tmp_path / GRADIENT_FILE).exists()


def test_conditional_generator_has_no_gradient(tmp_path):
    assert "conditional" in write_gradient(tmp_path, FLOATS_VARIANT, 10, prove=None).told


def test_weights_lie_in_the_graph_of_float_images(tmp_path, converted):
    floats = cut_head(add_head(rewrite(converted)))
    write_onnx(floats, tmp_path / "floats.onnx")
    whole = gradient_graph(floats)
    shared = without_weights(whole, tmp_path / "floats.onnx")
    write_onnx(shared, tmp_path / "gradient.onnx")
    assert (tmp_path / "gradient.onnx").stat().st_size < 40_000
    again = onnx.load(str(tmp_path / "gradient.onnx"))
    for kept, weight in zip(again.graph.initializer, whole.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(kept), numpy_helper.to_array(weight))
    feeds = {
        LATENTS: np.ones((2, 100), np.float32),
        COTANGENTS: np.ones((2, 32, 32, 3), np.float32),
    }
    sessions = [
        ort.InferenceSession(x, providers=["CPUExecutionProvider"])
        for x in (str(tmp_path / "gradient.onnx"), whole.SerializeToString())
    ]
    here, there = (x.run([GRADIENT], feeds)[0] for x in sessions)
    np.testing.assert_array_equal(here, there)


def test_bundle_is_given_its_gradient_and_keeps_all_else(tmp_path, capsys):
    source = repository.find(ROOT / "models", "cars-dcgan", "2")
    folder = tmp_path / "models" / "cars-dcgan" / "2"
    shutil.copytree(source.path, folder)
    manifest = source.manifest
    others = [variant for variant in manifest.variants if variant.name != "gradient"]
    files = {name: facts for name, facts in manifest.files.items() if name != GRADIENT_FILE}
    write_manifest(replace(manifest, variants=others, files=files), folder)
    (folder / GRADIENT_FILE).unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([str(folder), "gradient", "--version", "2", "--force"]) == 0
    assert "differences in float64" in capsys.readouterr().out
    after = load_bundle(folder)
    assert after.manifest.has_gradient
    assert after.key == source.key  # no cache is stale
    assert {path.name for path in folder.iterdir()} - set(before) == {GRADIENT_FILE}
    for name in set(before) - {"manifest.json"}:
        assert (folder / name).read_bytes() == before[name]
    assert main([str(folder), "gradient", "--version", "3"]) == 1
    assert "has the variant gradient already" in capsys.readouterr().err


def test_gradient_of_the_default_bundle_is_that_of_differences():
    bundle = repository.find(ROOT / "models", "cars-dcgan", "2")
    variant = bundle.manifest.variant("gradient")
    floats = onnx.load(str(bundle.path / bundle.manifest.variant("floats").file))
    found = prove_by_differences(bundle.path / variant.file, floats, FACTS)
    assert found["largest_difference"] == pytest.approx(
        variant.parity["largest_difference"], abs=1e-4
    )
    assert (bundle.path / variant.file).stat().st_size < 40_000
