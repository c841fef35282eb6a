import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from export.convert import IMAGES, LATENTS
from export.differences import compare
from export.head import add_head
from export.rewrites import rewrite
from export.variants.half import float16
from server.bundle.latents import latents


def draw(model, rows=64):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run([IMAGES], {LATENTS: latents(range(rows), 100)})[0]


@pytest.fixture
def halved(converted):
    return float16(converted)


def kinds(model):
    """The element types of what each node makes, by operator."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    types = {x.name: x.type.tensor_type.elem_type for x in inferred.graph.value_info}
    return {node.op_type: types.get(node.output[0]) for node in inferred.graph.node}


def test_layers_are_in_float16_and_what_goes_in_and_out_is_not(halved):
    found = kinds(halved)
    assert found["Gemm"] == found["Conv"] == found["LeakyRelu"] == TensorProto.FLOAT16
    assert found["Tanh"] == found["Round"] == TensorProto.FLOAT
    (entering,) = halved.graph.input
    (leaving,) = halved.graph.output
    assert entering.type.tensor_type.elem_type == TensorProto.FLOAT
    assert leaving.type.tensor_type.elem_type == TensorProto.UINT8
    assert [d.dim_value for d in leaving.type.tensor_type.shape.dim][1:] == [32, 32, 3]


def test_weights_take_half_the_bytes(halved, converted):
    whole = add_head(rewrite(converted))
    assert halved.ByteSize() < 0.55 * whole.ByteSize()


def test_images_are_those_of_float32_but_for_one_level_here_and_there(halved, converted):
    found = compare(draw(halved), draw(add_head(rewrite(converted))))
    assert found.levels <= 1
    assert found.mean_levels < 0.03
    assert draw(halved).std() > 30


def test_generator_that_ends_in_sums_is_cast_too(converted):
    """No activation at the end: the images are what the last convolution adds up."""
    tanh = next(node for node in converted.graph.node if node.op_type == "Tanh")
    plain = helper.make_node("Identity", list(tanh.input), list(tanh.output), tanh.name)
    tanh.CopyFrom(plain)
    found = compare(draw(float16(converted)), draw(add_head(rewrite(converted))))
    assert found.levels <= 2


def test_the_same_graph_gives_the_same_bytes(converted):
    one, two = (float16(converted).SerializeToString(deterministic=True) for _ in range(2))
    assert np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(two, np.uint8))
