import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.rewrites.dense import permute_dense


@settings(max_examples=30)
@given(st.permutations([1, 2, 3]), st.booleans(), st.sampled_from([[], ["LeakyRelu"], ["Tanh"]]))
def test_transpose_goes_into_the_weights(layers, unchanged, perm, bias, activations):
    shape = np.array([-1, 2, 3, 4])
    model = layers((7,)).add("Gemm", (7, 24), *([(24,)] if bias else []))
    for activation in activations:
        model.add(activation)
    model = model.add("Reshape", shape).add("Transpose", perm=[0, *perm]).model()
    unchanged(model, permute_dense(model), ["Gemm", *activations, "Reshape"])


@pytest.mark.parametrize(
    ("shape", "perm"),
    [([-1, 2, 3, 4], [1, 0, 2, 3]), ([-1, 2, 3, 2], [0, 3, 1, 2]), ([2, -1, 3, 4], [0, 3, 1, 2])],
    ids=["moves the batch", "splits a row", "takes the batch along"],
)
def test_other_transposes_stay(layers, unchanged, shape, perm):
    model = layers((7,)).add("Gemm", (7, 24)).add("Reshape", np.array(shape))
    model = model.add("Transpose", perm=perm).model()
    if shape == [2, -1, 3, 4]:
        assert [x.op_type for x in permute_dense(model).graph.node][-1] == "Transpose"
    else:
        unchanged(model, permute_dense(model), ["Gemm", "Reshape", "Transpose"])


def test_a_scale_by_channel_between_keeps_the_transpose(layers, unchanged):
    model = layers((7,)).add("Gemm", (7, 24)).add("Mul", (24,))
    model = model.add("Reshape", np.array([-1, 2, 3, 4])).add("Transpose", perm=[0, 3, 1, 2])
    model = model.model()
    unchanged(model, permute_dense(model), ["Gemm", "Mul", "Reshape", "Transpose"])
