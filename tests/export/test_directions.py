"""Directions are found by what they change, named by people, and stored without a new key."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.directions import directions_of, find_directions
from export.name_directions import WrongNames, main, named, store
from export.rewrites.halves import halves
from export.rows import RowFacts
from server.bundle.directions import Direction
from server.bundle.errors import BundleError
from server.bundle.files import load_bundle
from server.bundle.manifest import MANIFEST
from tests.bundles import DEFAULT, copy_version

STRONGEST = (5, 2, 7)
"""The latents of the small network that the most depends on, in that order."""


def network(activation="LeakyRelu"):
    """Return a graph whose first layer stretches some of its 8 latents."""
    weight = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 8)))[0].T
    for number, latent in enumerate(STRONGEST):
        weight[latent] *= 9 / (1 + number)
    names = {"weight": weight.astype(np.float32), "last": np.ones((64, 3), np.float32)}
    nodes = [helper.make_node("Gemm", ["latents", "weight"], ["first"])]
    facts = {"alpha": 0.2} if activation == "LeakyRelu" else {}
    nodes += [helper.make_node(activation, ["first"], ["activated"], **facts)] if activation else []
    nodes.append(
        helper.make_node("Gemm", ["activated" if activation else "first", "last"], ["out"])
    )
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(values, name) for name, values in names.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("activation", ["LeakyRelu", "Tanh", None])
@pytest.mark.parametrize("change", [halves, lambda model: model], ids=["halves", "plain"])
def test_strongest_latents_are_the_first_directions(activation, change):
    found = find_directions(change(network(activation)), RowFacts(8))
    assert [x.name for x in found] == [f"direction {n}" for n in range(1, len(found) + 1)]
    assert len(found) >= len(STRONGEST)
    for direction, latent in zip(found, STRONGEST, strict=False):
        along = np.array(direction.latents)
        assert np.argmax(np.abs(along)) == latent
        assert abs(along[latent]) > 0.95
        assert along[latent] > 0
        assert np.linalg.norm(along) == pytest.approx(1, abs=0.02)


def test_step_is_a_standard_deviation_of_uniform_latents():
    (first, *_) = find_directions(network(), RowFacts(8, "uniform"))
    assert np.linalg.norm(first.latents) == pytest.approx(3**-0.5, abs=0.02)


def test_network_whose_latents_go_into_no_layer_has_none():
    node = helper.make_node("Tanh", ["latents"], ["out"])
    model = network()
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.append(node)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8
    assert find_directions(model, RowFacts(8)) == []


def test_directions_are_mapped_back_through_what_mixes_latents():
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((2000, 8)).astype(np.float32)
    way = rng.standard_normal(8).astype(np.float32)
    way /= np.linalg.norm(way)
    activations = latents @ (np.outer(way, rng.standard_normal(40)) * 20).astype(np.float32)
    activations += latents @ rng.standard_normal((8, 40)).astype(np.float32)
    assert abs(directions_of(latents, activations)[0] @ way) > 0.95


def test_component_that_two_opposite_ways_lead_to_is_no_direction():
    latents = np.random.default_rng(0).standard_normal((2000, 3)).astype(np.float32)
    activations = latents.copy()
    activations[:, 0] = 9 * np.abs(latents[:, 0])
    found = directions_of(latents, activations)
    assert len(found) == 2
    assert (np.abs(found[:, 0]) < 0.1).all()


@pytest.fixture
def bundle(tmp_path):
    return copy_version(tmp_path, "1", source=DEFAULT)


def test_names_are_stored_in_order_and_the_key_stays(bundle, tmp_path, capsys):
    before = load_bundle(bundle)
    files = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != MANIFEST}
    names = ["dark to light", "-", "low to tall"]
    assert main([str(bundle), "--out", str(tmp_path / "pictures"), "--names", *names]) == 0
    assert capsys.readouterr().out.count(".png") == 8
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 8
    after = load_bundle(bundle)
    assert [x.name for x in after.manifest.directions] == ["dark to light", "low to tall"]
    assert after.key == before.key
    assert files == {x.name: x.read_bytes() for x in bundle.iterdir() if x.name != MANIFEST}
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a"] * 9, "names: 9 are given; wanted at most 8"),
        (["a", "a"], "directions: 'a' is there twice"),
        ([" "], "the name ' ' is none of 1 to 80 characters"),
    ],
)
def test_names_that_do_not_fit_change_nothing(bundle, names, told):
    before = (bundle / MANIFEST).read_bytes()
    found = [Direction(f"direction {number}", [0.5] * 100) for number in range(8)]
    with pytest.raises((BundleError, WrongNames), match=told):
        store(load_bundle(bundle), named(found, names))
    assert (bundle / MANIFEST).read_bytes() == before
    assert list(bundle.parent.iterdir()) == [bundle]


def test_folder_without_a_bundle_is_told_in_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_default_bundles_have_directions_with_names():
    for version in "12":
        manifest = json.loads((DEFAULT.parent / version / MANIFEST).read_text())
        names = [x["name"] for x in manifest["directions"]]
        assert len(names) >= 6
        assert not any(name.startswith("direction ") for name in names)


def test_layer_whose_activation_lets_nothing_through_has_no_directions():
    model = network("Relu")
    bias = np.full(64, -100, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(bias, "bias"))
    model.graph.node[0].input.append("bias")
    assert find_directions(model, RowFacts(8)) == []
