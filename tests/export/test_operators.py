import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convert import finish
from export.errors import ConversionFailed
from export.mend import mend
from export.operators import check_operators, check_precision, layer_of, what_failed, what_of

NAME = "StatefulPartitionedCall/functional_1/odd_1/op"


def graph_of(*nodes, weights=(), size=(1, 1, 3, 3), kind=TensorProto.FLOAT):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "g",
        [value("x", kind, ["batch", *size[1:]])],
        [value("y", kind, None)],
        [numpy_helper.from_array(x, name) for name, x in dict(weights).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model, x):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_complementary_error_function_is_made_of_the_error_function():
    model = graph_of(helper.make_node("Erfc", ["x"], ["y"], NAME))
    with pytest.raises(ConversionFailed, match="no ONNX form for Erfc in odd_1"):
        check_operators(model, 18)
    mend(model)
    check_operators(model, 18)
    x = np.linspace(-4, 4, 9, dtype=np.float32).reshape(1, 1, 3, 3)
    from math import erfc

    wanted = np.vectorize(erfc)(x)
    np.testing.assert_allclose(run(model, x), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "pads", "length"),
    [
        (1, 2, 1, [0, -1], 6),
        (2, 4, 1, [-1, -1], 12),
        (1, 4, 1, [-1, -2], 12),
        (2, 3, 2, [0, -1], 10),
        (3, 2, 1, [0, 1], 6),
    ],
)
def test_transposed_convolution_leaves_zeros_beyond_the_reach_of_its_kernel(
    kernel, stride, dilation, pads, length
):
    """As in TensorFlow: padding is taken from both ends, and what is missing stands at the end."""
    weight = np.random.default_rng(0).normal(size=(1, 1, kernel, kernel)).astype(np.float32)
    start, end = pads
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], NAME, strides=[stride] * 2, dilations=[dilation] * 2,
        pads=[start, start, end, end], kernel_shape=[kernel] * 2,
    )  # fmt: skip
    model = graph_of(node, weights={"w": weight})
    mend(model)
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    wanted = np.zeros((20, 20), np.float32)
    for row, column, i, j in np.ndindex(3, 3, kernel, kernel):
        place = row * stride + i * dilation, column * stride + j * dilation
        wanted[place] += x[0, 0, row, column] * weight[0, 0, i, j]
    first = max(start, 0)
    drawn = run(finish(model), x)
    assert drawn.shape == (1, 1, length, length)
    np.testing.assert_allclose(
        drawn[0, 0], wanted[first : first + length, first : first + length], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["RandomNormalLike", "StatelessRandomNormalV2", "Multinomial"])
def test_noise_inside_is_refused_with_its_layer(kind):
    model = graph_of(helper.make_node(kind, ["x"], ["y"], NAME))
    with pytest.raises(ConversionFailed, match=rf"draws noise of its own \({kind} in odd_1\)"):
        check_operators(model, 18)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_layers_in_sixteen_bits_are_refused(kind):
    model = graph_of(helper.make_node("Cast", ["x"], ["y"], NAME, to=kind))
    with pytest.raises(ConversionFailed, match=r"bfloat16 \(first in odd_1\).*save it in float32"):
        check_precision(model)


def test_ends_in_float64_are_refused():
    model = graph_of(helper.make_node("Tanh", ["x"], ["y"], NAME), kind=TensorProto.DOUBLE)
    with pytest.raises(ConversionFailed, match=r"x is float64; .* save it in float32"):
        check_precision(model)


def test_invalid_graph_is_told_in_one_line_with_the_layer():
    node = helper.make_node("Conv", ["x", "w"], ["y"], NAME, kernel_shape=[3, 3], pads=[-1] * 4)
    model = graph_of(node, weights={"w": np.zeros((1, 2, 3, 3), np.float32)})
    with pytest.raises(ConversionFailed, match=r"not valid ONNX \(Conv in odd_1: ") as error:
        finish(model)
    assert "\n" not in str(error.value)


def test_layer_is_what_keras_calls_it():
    assert layer_of("StatefulPartitionedCall/sequential_1/dense_1/MatMul") == "dense_1"
    assert layer_of("PartitionedCall_1/model/block/conv/Conv2D") == "block/conv"
    assert layer_of("lonely") == "lonely"


def test_last_line_of_the_converter_is_told_where_it_names_no_operator():
    assert what_failed("a\nValueError: odd\n\n") == "ValueError: odd"
    told = "ERROR - Tensorflow op [StatefulPartitionedCall/m/odd/Fft: FFT2D] is not supported\nend"
    assert what_failed(told) == "FFT2D in odd"
    drawing = (
        "E: Graph execution error:\nno kernel\n\t [[{{node PartitionedCall/m/up_1/op}}]] [Op:f]\n"
    )
    assert what_failed(drawing) == "up_1: no kernel"
    assert what_of(onnx.checker.ValidationError("one\ntwo\n\n==> Context: x")) == "one two"
