from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from export.rewrites.fold import fold

LAYERS = {
    "Conv": ((5, 2, 3, 3), (5, 1, 1)),
    "ConvTranspose": ((2, 5, 4, 4), (5, 1, 1)),
}
POSITIVE = np.linspace(0.5, 1.5, 5, dtype=np.float32)


def weights(model):
    return [numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer]


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(LAYERS)),
    st.booleans(),
    st.lists(st.sampled_from(["Mul", "Add", "Sub", "Div"]), max_size=4),
    st.booleans(),
    st.integers(0, 99),
)
def test_scales_and_shifts_go_into_the_layer_before(
    layers, unchanged, op, bias, affine, scalar, seed
):
    weight, channels = LAYERS[op]
    chain = layers((2, 6, 6), seed).add(op, weight, *([(5,)] if bias else []))
    for step in affine:
        constant = POSITIVE.reshape(channels) * (1 + seed / 10)
        chain.add(step, np.float32(0.7) * np.ones(1, np.float32) if scalar else constant)
    linear = deepcopy(chain).model()
    folded = fold(linear)
    unchanged(linear, folded, [op])

    # What the activation lets through may be nothing but the rounding of what cancelled: so the
    # values are compared before it, and behind the same weights it gives the same.
    activated = fold(chain.add("Relu").model())
    assert [node.op_type for node in activated.graph.node] == [op, "Relu"]
    assert weights(activated) == weights(folded)


@pytest.mark.parametrize("op", sorted(LAYERS))
def test_batch_normalization_goes_into_the_layer_before(layers, unchanged, op):
    weight, _ = LAYERS[op]
    model = layers((2, 6, 6)).add(op, weight, (5,))
    model = model.add("BatchNormalization", (5,), (5,), (5,), POSITIVE, epsilon=1e-3).model()
    unchanged(model, fold(model), [op])


def test_dense_becomes_a_gemm_with_all_of_it(layers, unchanged):
    model = layers((7,)).add("MatMul", (7, 4)).add("Add", (4,)).add("Mul", (4,)).add("Add", (4,))
    model = model.model()
    unchanged(model, fold(model), ["Gemm"])


@pytest.mark.parametrize("shape", [(1, 6), (5, 1, 6), (5, 6, 6), (1, 6, 1)])
def test_a_shift_by_place_is_not_folded(layers, unchanged, shape):
    model = layers((2, 6, 6)).add("Conv", (5, 2, 1, 1)).add("Add", shape).model()
    unchanged(model, fold(model), ["Conv", "Add"])


def test_a_scale_after_the_activation_is_not_folded(layers, unchanged):
    model = layers((2, 6, 6)).add("Conv", (5, 2, 1, 1)).add("Relu").add("Mul", (5, 1, 1)).model()
    unchanged(model, fold(model), ["Conv", "Relu", "Mul"])


def test_a_layer_that_others_read_too_is_not_folded(layers, unchanged):
    model = layers((2, 6, 6)).add("Conv", (5, 2, 1, 1)).add("Mul", (5, 1, 1)).add("Add", (5, 1, 1))
    model.nodes[2].input[1] = model.nodes[0].output[0]
    model = model.model()
    unchanged(model, fold(model), ["Conv", "Mul", "Add"])


def test_a_constant_divided_by_the_layer_is_not_folded(layers, unchanged):
    model = layers((2, 6, 6)).add("Conv", (5, 2, 1, 1)).add("Sub", (5, 1, 1))
    model.nodes[1].input[:] = reversed(model.nodes[1].input)
    model = model.model()
    unchanged(model, fold(model), ["Conv", "Sub"])
