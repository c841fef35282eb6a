import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convert import finish
from export.differences import exceeded
from export.errors import VariantRefused
from export.head import add_head
from export.rewrites import rewrite
from export.rows import RowFacts
from export.tolerances import INT8
from export.variants import quantize as module
from export.variants.quantize import Quantizer, int8
from server.bundle.latents import latents

FACTS = RowFacts(100)


@pytest.fixture
def served(converted):
    return add_head(rewrite(converted))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(module, "TRIAL_SEEDS", range(20_000, 20_032))
    monkeypatch.setattr(module, "CALIBRATION_SEEDS", range(10_000, 10_064))


def convolutions(model):
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def in_int8(model):
    """The convolutions whose weights are eight bits, with a scale for each of their channels."""
    made = {name: node for node in model.graph.node for name in node.output}
    scales = {x.name: x.dims for x in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and (weight := made.get(node.input[1])) is not None
        and weight.op_type == "DequantizeLinear"
        and len(scales[weight.input[1]]) == 1
    ]


def test_named_convolutions_and_no_others_are_quantised(served, tmp_path):
    names = convolutions(served)
    chosen = [names[0], names[-1]]
    model = Quantizer(served, FACTS, tmp_path).quantize(chosen)
    assert sorted(in_int8(model)) == sorted(chosen)


def test_all_of_them_hurt_more_than_the_gentlest(served, tmp_path):
    quantizer = Quantizer(served, FACTS, tmp_path)
    names = convolutions(served)
    alone = min(quantizer.damage([name]).mean_levels for name in names)
    assert quantizer.damage(names).mean_levels > 2 * alone > 0


def test_as_many_as_the_limits_allow_the_gentlest_first(converted, served, tmp_path, monkeypatch):
    quantizer = Quantizer(served, FACTS, tmp_path)
    order = sorted(convolutions(served), key=lambda x: quantizer.damage([x]).mean_levels)
    within = quantizer.damage(order[:3])
    limit = type(INT8.ordinary)(
        within.levels, within.mean_levels, within.share_above_one, within.psnr_db
    )
    monkeypatch.setattr(module, "INT8", type(INT8)(limit, limit))
    assert list(exceeded(quantizer.damage(order[:4]), limit))
    model, told = int8(converted, FACTS, tmp_path)
    assert sorted(in_int8(model)) == sorted(order[:3])
    assert told.startswith(f"3 of {len(order)} convolutions in int8; each alone: {order[0]} (")


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_ranges_come_from_latents_of_the_generators_own_distribution(
    distribution, served, tmp_path, monkeypatch
):
    fed = []

    def calibrate(model, path, reader, **_):
        while (inputs := reader.get_next()) is not None:
            fed.append(inputs["latents"])
        onnx.save(model, path)

    monkeypatch.setattr(module, "quantize_static", calibrate)
    Quantizer(served, RowFacts(100, distribution), tmp_path).quantize(convolutions(served))
    wanted = latents(module.CALIBRATION_SEEDS, 100, distribution)
    np.testing.assert_array_equal(np.concatenate(fed), wanted)


def test_generator_that_eight_bits_spoil_is_refused_with_the_gentlest(
    converted, tmp_path, monkeypatch
):
    limit = type(INT8.ordinary)(levels=0, mean_levels=0, share_above_one=0, psnr_db=99)
    monkeypatch.setattr(module, "INT8", type(INT8)(limit, limit))
    with pytest.raises(
        VariantRefused, match=r"none of \d+ convolutions stays .* the gentlest Conv_"
    ):
        int8(converted, FACTS, tmp_path)


def test_generator_without_convolutions_is_told_so(tmp_path):
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("latents", [4]), ("images", [2, 2, 1]))
    ]
    weights = {"w": np.zeros((4, 4), np.float32), "shape": np.array([-1, 2, 2, 1])}
    nodes = [
        helper.make_node("MatMul", ["latents", "w"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    held = [numpy_helper.from_array(x, name) for name, x in weights.items()]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(VariantRefused, match=r"^the graph has no convolutions, which alone"):
        int8(finish(model), RowFacts(4), tmp_path)
