import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from export.rewrites.shrink import shrink
from export.rewrites.split import split
from export.rewrites.subpixel import subpixel


def joined(layers, kernel, pads, bias=True):
    """Two activations of the same input, joined and convolved."""
    model = layers((3, 5, 5)).add("Tanh")
    model.nodes.append(helper.make_node("Relu", ["x"], ["relu"], "relu"))
    model.nodes.append(helper.make_node("Concat", ["Tanh0:0", "relu"], ["joined"], "join", axis=1))
    return model.add("Conv", kernel, *([(4,)] if bias else []), pads=pads).model()


@settings(max_examples=40)
@given(st.data(), st.booleans())
def test_sum_of_parts_is_the_whole_with_zeros_anywhere(layers, unchanged, data, bias):
    kernel = np.random.default_rng(0).normal(size=(4, 6, 3, 3)).astype(np.float32)
    for _ in range(data.draw(st.integers(0, 3))):
        half = slice(*data.draw(st.sampled_from([(0, 3), (3, 6)])))
        place = data.draw(st.integers(0, 2))
        if data.draw(st.booleans()):
            kernel[:, half, place] = 0
        else:
            kernel[:, half, :, place] = 0
    pads = data.draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    model = joined(layers, kernel, pads, bias)
    ops = ["Tanh", "Relu", "Conv", "Conv", "Add"]
    unchanged(model, split(model), ops)


def test_phases_of_the_last_convolution_lose_their_zeros(layers, unchanged):
    model = layers((5, 4, 4))
    model.add("ConvTranspose", (5, 6, 4, 4), (6,), strides=[2, 2], pads=[1, 1, 1, 1])
    model = model.add("Conv", (3, 6, 3, 3), (3,), pads=[1, 1, 1, 1]).model()
    after = split(shrink(subpixel(model)))
    unchanged(model, after)
    shapes = [tuple(x.dims) for x in after.graph.initializer if len(x.dims) == 4]
    assert shapes == [(6, 5, 2, 2)] * 4 + [(12, 6, 2, 2)] * 4
