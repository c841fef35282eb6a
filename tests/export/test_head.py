import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from export.convert import dims
from export.head import add_head, cut_head, to_uint8


def run(model, values):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


@pytest.fixture(scope="module")
def bare_head():
    """The head alone, after a graph that passes its input on."""
    shape = ["batch", 1, 1, 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["latents"], ["images"], "pass")],
        "identity",
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
    )
    opset = [helper.make_opsetid("", 18)]
    return add_head(helper.make_model(graph, opset_imports=opset, ir_version=8))


def test_every_rounding_boundary_goes_the_way_of_the_reference(bare_head):
    exact = (np.arange(0, 256, 0.25, np.float64) / 127.5 - 1).astype(np.float32)
    around = [np.nextafter(exact, np.float32(end)) for end in (-2, 2)]
    values = np.concatenate([exact, *around]).reshape(-1, 1, 1, 3)
    np.testing.assert_array_equal(run(bare_head, values), to_uint8(values))


def test_halves_go_to_the_even_grey_level():
    values = np.array([0.0, 1 / 127.5, -1.0, 1.0], np.float32)  # levels 127.5, 128.5, 0, 255
    assert to_uint8(values).tolist() == [128, 128, 0, 255]


def test_values_beyond_the_range_are_clipped_not_wrapped(bare_head):
    values = np.array([[-9.0, 1.1, 1e30]], np.float32).reshape(1, 1, 1, 3)
    assert run(bare_head, values).ravel().tolist() == [0, 255, 255]
    assert to_uint8(values).ravel().tolist() == [0, 255, 255]


def test_served_graph_has_one_input_and_one_uint8_output(model_path):
    graph = onnx.load(str(model_path)).graph
    assert [(x.name, dims(x)) for x in graph.input] == [("latents", ["batch", 100])]
    assert [(x.name, dims(x)) for x in graph.output] == [("images", ["batch", 32, 32, 3])]
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_cut_head_gives_the_floats_that_were_there_before(converted):
    latents = np.random.default_rng(2).standard_normal((3, 100), np.float32)
    cut = cut_head(add_head(converted))
    assert cut.graph.output[0].name == "images_float"
    np.testing.assert_array_equal(run(cut, latents), run(converted, latents))


def test_bytes_are_turned_not_floats(converted):
    ops = [node.op_type for node in add_head(converted).graph.node]
    assert ops[-2:] == ["Cast", "Transpose"]
    assert ops.count("Transpose") == [x.op_type for x in converted.graph.node].count("Transpose")
