import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.rewrites.subpixel import subpixel


def ops(model):
    return {node.op_type for node in model.graph.node}


@st.composite
def axes(draw):
    """Size, kernel, stride, paddings and output padding of one direction."""
    stride = draw(st.integers(1, 4))
    kernel = stride * draw(st.integers(1, 3))
    size = draw(st.integers(1, 6))
    before, after = draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1))
    more = draw(st.integers(0, stride - 1))
    if stride * (size - 1) + kernel + more - before - after < 1:
        before = after = 0
    return size, kernel, stride, before, after, more


@settings(max_examples=150)
@given(axes(), axes(), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_any_kernel_of_a_multiple_of_its_stride_gives_the_same(
    layers, unchanged, rows, columns, inputs, outputs, bias, seed
):
    size, kernel, strides, before, after, more = zip(rows, columns, strict=True)
    weights = [(inputs, outputs, *kernel), *([(outputs,)] if bias else [])]
    model = (
        layers((inputs, *size), seed)
        .add(
            "ConvTranspose",
            *weights,
            kernel_shape=kernel,
            strides=strides,
            pads=[*before, *after],
            output_padding=more,
        )
        .model()
    )
    unchanged(model, subpixel(model))


@settings(max_examples=60)
@given(
    st.sampled_from(["same", "valid"]),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda strides: max(strides) > 1),
)
def test_what_keras_pads_is_always_rewritten(layers, unchanged, padding, size, taps, strides):
    kernel = tuple(k * s for k, s in zip(taps, strides, strict=True))
    total = [k - s if padding == "same" else 0 for k, s in zip(kernel, strides, strict=True)]
    before = [n // 2 for n in total]
    pads = [*before, *(n - b for n, b in zip(total, before, strict=True))]
    model = layers((2, *size)).add(
        "ConvTranspose", (2, 3, *kernel), (3,), kernel_shape=kernel, strides=strides, pads=pads
    )
    model = model.model()
    after = subpixel(model)
    assert "ConvTranspose" not in ops(after)
    unchanged(model, after)


def test_square_stride_is_woven_by_depth_to_space(layers, unchanged):
    model = layers((2, 4, 4)).add(
        "ConvTranspose", (2, 3, 4, 4), (3,), strides=[2, 2], pads=[1, 1, 1, 1]
    )
    model = model.model()
    unchanged(model, subpixel(model), ["Conv"] * 4 + ["Concat", "DepthToSpace"])


@pytest.mark.parametrize(
    ("kernel", "facts"),
    [
        ((5, 5), {"strides": [2, 2]}),
        ((3, 3), {}),
        ((4, 4), {"strides": [2, 2], "dilations": [2, 2]}),
        ((4, 4), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((2, 2), {"strides": [2, 2], "group": 2}),
    ],
)
def test_what_has_no_such_form_stays_as_it_is(layers, unchanged, kernel, facts):
    model = layers((2, 4, 4)).add("ConvTranspose", (2, 2, *kernel), **facts).model()
    unchanged(model, subpixel(model), ["ConvTranspose"])


def test_a_size_known_only_at_run_time_stays_as_it_is(layers):
    model = layers((2, 4, 4)).add("ConvTranspose", (2, 2, 4, 4), strides=[2, 2]).model()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert ops(subpixel(model)) == {"ConvTranspose"}


def test_the_model_that_is_given_is_not_altered(layers):
    model = layers((2, 4, 4)).add("ConvTranspose", (2, 2, 4, 4), strides=[2, 2]).model()
    before = model.SerializeToString()
    subpixel(model)
    assert model.SerializeToString() == before
