import pytest

from export.rewrites.activations import early_activations
from export.rewrites.subpixel import subpixel


@pytest.mark.parametrize("op", ["LeakyRelu", "Relu", "Tanh", "Sigmoid"])
def test_activation_goes_to_every_phase(layers, unchanged, op):
    model = layers((2, 4, 4)).add("ConvTranspose", (2, 3, 2, 2), strides=[2, 2]).add(op).model()
    after = early_activations(subpixel(model))
    unchanged(model, after)
    wanted = ["Concat", "Conv", "Conv", "Conv", "Conv", "DepthToSpace", op, op, op, op]
    assert sorted(x.op_type for x in after.graph.node) == sorted(wanted)
    assert [x.op_type for x in after.graph.node][-2:] == ["Concat", "DepthToSpace"]


def test_what_sees_more_than_one_value_stays(layers, unchanged):
    model = layers((8, 4, 4)).add("DepthToSpace", blocksize=2).add("Softmax", axis=1).model()
    unchanged(model, early_activations(model), ["DepthToSpace", "Softmax"])
