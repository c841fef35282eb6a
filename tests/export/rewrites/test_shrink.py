import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.rewrites.shrink import VECTOR, shrink


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([2, 3]),
    st.booleans(),
    st.data(),
)
def test_convolution_to_few_channels_goes_before_the_weaving(
    layers, unchanged, size, kernel, block, bias, data
):
    before = [data.draw(st.integers(0, k - 1)) for k in kernel]
    pads = [*before, *(k - 1 - b for k, b in zip(kernel, before, strict=True))]
    outputs = data.draw(st.integers(1, VECTOR // block**2))
    model = layers((2 * block**2, *size)).add("DepthToSpace", blocksize=block)
    model = model.add("Conv", (outputs, 2, *kernel), *([(outputs,)] if bias else []), pads=pads)
    model = model.model()
    unchanged(model, shrink(model), ["Conv", "DepthToSpace"])


@pytest.mark.parametrize(
    ("outputs", "facts"),
    [
        (5, {"pads": [1, 1, 1, 1]}),
        (3, {}),
        (3, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        (3, {"pads": [1, 1, 1, 1], "dilations": [2, 2]}),
        (3, {"auto_pad": "SAME_UPPER"}),
    ],
    ids=["many channels", "another size", "strides", "dilations", "automatic padding"],
)
def test_other_convolutions_stay(layers, unchanged, outputs, facts):
    model = layers((8, 4, 4)).add("DepthToSpace", blocksize=2)
    model = model.add("Conv", (outputs, 2, 3, 3), **facts).model()
    unchanged(model, shrink(model), ["DepthToSpace", "Conv"])
