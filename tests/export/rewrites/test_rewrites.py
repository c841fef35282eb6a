"""All rewrites in a row, on the converted generator."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort

from export.convert import dims
from export.rewrites import REWRITES, rewrite

LATENTS = np.random.default_rng(5).standard_normal((33, 100), np.float32)


def draw(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["images"], {"latents": LATENTS})[0]


def test_images_are_those_of_the_plain_graph(converted):
    difference = np.abs(draw(rewrite(converted)) - draw(converted)).max()
    assert difference <= 4e-6  # of a generator whose sums are larger than a trained one's


def test_images_are_as_near_to_the_exact_ones_as_those_of_the_plain_graph(converted, exact):
    """Exact is the same generator in float64: the plain graph has its own errors of rounding."""
    wanted = exact(LATENTS)
    assert wanted.dtype == np.float64
    ours, plain = (np.abs(draw(x) - wanted).max() for x in (rewrite(converted), converted))
    assert ours <= 1.1 * plain
    assert ours <= 3e-6


def test_nothing_is_left_that_costs_time_and_need_not_be(converted):
    before = Counter(node.op_type for node in converted.graph.node)
    after = Counter(node.op_type for node in rewrite(converted).graph.node)
    assert before["ConvTranspose"] == 3
    assert before["Transpose"] == 2
    assert not after["ConvTranspose"]
    assert after["Mul"] == 2, "those that split the latents"
    assert not after["MatMul"]
    assert after["Transpose"] == 1
    assert after["DepthToSpace"] == 3


def test_each_convolution_has_weights_of_its_own(converted):
    """OpenVINO runs the sum with a bias, and the activation after it, inside a convolution then."""
    graph = rewrite(converted).graph
    weights = {x.name for x in graph.initializer}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    read = Counter(name for node in convs for name in node.input if name in weights)
    assert len(read) == 16 + 12 + 1  # a kernel each; a bias each but for three parts of the last
    assert set(read.values()) == {1}


def test_each_rewrite_alone_keeps_the_images(converted):
    model, wanted = converted, draw(converted)
    for step in REWRITES:
        model = step(model)
        onnx.checker.check_model(model)
        np.testing.assert_allclose(draw(model), wanted, rtol=0, atol=4e-6, err_msg=step.__name__)


def test_signature_and_shapes_stay(converted):
    graph = rewrite(converted).graph
    assert [(x.name, dims(x)) for x in graph.input] == [("latents", ["batch", 100])]
    assert [(x.name, dims(x)) for x in graph.output] == [("images", ["batch", 32, 32, 3])]
    assert all(type(size) is int for x in graph.value_info for size in dims(x)[1:])


def test_same_graph_gives_the_same_bytes(converted):
    once, again = (rewrite(converted).SerializeToString(deterministic=True) for _ in range(2))
    assert once == again
