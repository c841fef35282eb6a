from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from export.head import add_head, cut_head
from export.rewrites import rewrite
from export.rewrites.fold import fold
from export.rewrites.halves import halves, without_halves
from server.bundle.latents import latents

MODELS = Path(__file__).parents[3] / "models"


def run(model, names, **inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, inputs)


def bfloat16(values):
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def test_float32_sees_no_difference(layers, unchanged):
    model = layers((7,)).add("Gemm", (7, 24), (24,)).add("Tanh").model()
    after = halves(model)
    unchanged(model, after)
    assert sorted(np.prod(x.dims) for x in after.graph.initializer) == [1, 1, 24, 7 * 24]


def test_bfloat16_keeps_what_it_would_have_lost_of_the_latents(layers):
    model = halves(layers((100,)).add("Gemm", (100, 64)).model())
    (gemm,) = [x for x in model.graph.node if x.op_type == "Gemm"]
    model.graph.output.append(helper.make_tensor_value_info(gemm.input[0], TensorProto.FLOAT, None))
    x = np.concatenate([latents(range(8), 100), np.full((1, 100), 8.572, np.float32)])
    _, parts = run(model, None, x=x)
    low, high = np.split(parts, 2, axis=1)
    np.testing.assert_allclose(low + high, x, rtol=0, atol=2**-29)  # of a sixteenth, a half ulp
    np.testing.assert_array_equal(bfloat16(high), high)
    assert np.abs(bfloat16(low) - low).max() < 2e-4
    assert np.abs(bfloat16(x) - x).max() > 5e-3


def test_latents_with_a_class_beside_them_are_halved_too(layers, unchanged):
    beside = layers((7,))
    beside.nodes.append(helper.make_node("Concat", ["x", "x"], ["beside"], "Concat0", axis=1))
    model = beside.add("Gemm", (14, 24), (24,)).model()
    ops = ["Concat", "Mul", "Floor", "Mul", "Sub", "Concat", "Concat", "Gemm"]
    unchanged(model, halves(model), ops)


def test_later_layers_are_left_alone(layers, unchanged):
    model = layers((7,)).add("Tanh").add("MatMul", (7, 24)).model()
    unchanged(fold(model), halves(fold(model)), ["Tanh", "Gemm"])


def test_parts_can_be_undone(layers, unchanged):
    model = layers((7,)).add("Gemm", (7, 24), (24,)).add("Tanh").model()
    undone = without_halves(halves(model))
    unchanged(model, undone, ["Gemm", "Tanh"])
    assert [x.dims[:] for x in undone.graph.initializer] == [[7, 24], [24]]


def test_parts_that_two_layers_read_can_be_undone():
    """Both read one pair of parts, as exporters that merge equal nodes leave them."""
    rng = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array(rng.normal(size=(7, 5)).astype(np.float32), name)
        for name in ("one", "other")
    ]
    made = [helper.make_node("Gemm", ["x", x.name], [f"{x.name}.out"], x.name) for x in weights]
    made.append(helper.make_node("Add", ["one.out", "other.out"], ["y"], "sum"))
    told = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])]
    graph = helper.make_graph(made, "two", told, out, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    halved = halves(model)
    seen, kept = set(), []
    for node in halved.graph.node:  # each pair of parts once
        if node.output[0] not in seen:
            kept.append(node)
            seen.add(node.output[0])
    del halved.graph.node[:]
    halved.graph.node.extend(kept)
    undone = without_halves(halved)
    assert [node.op_type for node in undone.graph.node] == ["Gemm", "Gemm", "Add"]
    x = latents(range(4), 7)
    np.testing.assert_allclose(*(run(each, None, x=x)[0] for each in (model, undone)), atol=1e-5)


def test_graph_without_parts_is_left_alone(layers, unchanged):
    twice = layers((7,)).add("Gemm", (7, 24)).model()
    twice.graph.node.insert(0, helper.make_node("Concat", ["x", "x"], ["both"], axis=0))
    twice.graph.node[1].input[0] = "both"
    for model in (layers((7,)).add("Gemm", (7, 24)).model(), twice):
        before = [node.op_type for node in model.graph.node]
        assert [node.op_type for node in without_halves(model).graph.node] == before


@pytest.mark.parametrize(
    ("version", "file"),
    [("1", "generator.onnx"), ("1", "generator-float.onnx"), ("2", "generator.onnx")],
)
def test_bundles_with_casts_to_bfloat16_draw_the_same_without_them(version, file):
    casts = onnx.load(str(MODELS / "cars-dcgan" / version / file))
    plain = without_halves(casts)
    assert not any(x.type.tensor_type.elem_type == TensorProto.BFLOAT16 for x in types(plain))
    assert len(plain.graph.node) == len(casts.graph.node) - 8
    assert plain.metadata_props == casts.metadata_props
    rows = latents(range(64), 100)
    (before,), (after,) = (run(x, None, latents=rows) for x in (casts, plain))
    off = np.abs(before.astype(np.float64) - after)
    if before.dtype == np.float32:
        assert off.max() <= 1e-5
    else:
        assert off.max() <= 1
        assert (off > 0).mean() <= 1e-4
        assert before.shape == run(cut_head(plain), None, latents=rows)[0].shape


def types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return [*inferred.input, *inferred.value_info, *inferred.output]


def test_exported_graphs_are_of_plain_operators_and_types(converted):
    """Many runtimes have no bfloat16, and one draws noise where it meets it."""
    headed = add_head(rewrite(converted))
    for model in (headed, cut_head(headed)):
        found = {x.type.tensor_type.elem_type for x in types(model)}
        found |= {x.data_type for x in model.graph.initializer}
        assert found <= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8}
        assert {x.domain for x in model.graph.node} == {""}
        assert not model.functions
