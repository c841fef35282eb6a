"""The rules by which gradients go through nodes backwards, one for each operator.

Source: the chain rule; ONNX's definitions of the operators. The gradient of a convolution with
respect to its input is a transposed convolution with the same weights, and the other way round.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from export.errors import VariantRefused
from export.gradient.backward import Backward
from export.rewrites.graph import attributes

Rule = Callable[[Backward, onnx.NodeProto, str], None]
"""The function that gives each input of a node its gradient, from that of the node's output."""


def through(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    """Pass ``gradient``, that of the output of ``node``, on to the node's inputs.

    Raises:
        VariantRefused: there is no rule for such a node.
    """
    rule = RULES.get(node.op_type)
    if rule is None:
        raise VariantRefused(f"there is no rule for the operator {node.op_type} ({node.name})")
    rule(backward, node, gradient)


def _add(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    backward.check_same_shape(node)
    for name in node.input:
        backward.give(name, gradient)


def _subtract(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    backward.check_same_shape(node)
    first, second = node.input
    backward.give(first, gradient)
    if backward.depends(second):
        backward.give(second, backward.node("Neg", gradient))


def _multiply(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    backward.check_same_shape(node)
    first, second = node.input
    for name, other in ((first, second), (second, first)):
        if backward.depends(name):
            backward.give(name, backward.node("Mul", gradient, other))


def _divide(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    backward.check_same_shape(node)
    first, second = node.input
    if backward.depends(second):
        raise VariantRefused(f"{node.name} divides by what depends on the latents")
    backward.give(first, backward.node("Div", gradient, second))


def _flat(_backward: Backward, _node: onnx.NodeProto, _gradient: str) -> None:
    """Give nothing: steps are flat wherever they do not jump."""


def _relu(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    zero = backward.constant(0.0)
    is_above = backward.node("Greater", node.input[0], zero)
    backward.give(node.input[0], backward.node("Where", is_above, gradient, zero))


def _leaky_relu(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    is_above = backward.node("Greater", node.input[0], backward.constant(0.0))
    slope = backward.constant(attributes(node).get("alpha", 0.01))
    below = backward.node("Mul", gradient, slope)
    backward.give(node.input[0], backward.node("Where", is_above, gradient, below))


def _tanh(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    square = backward.node("Mul", node.output[0], node.output[0])
    slope = backward.node("Sub", backward.constant(1.0), square)
    backward.give(node.input[0], backward.node("Mul", gradient, slope))


def _sigmoid(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    rest = backward.node("Sub", backward.constant(1.0), node.output[0])
    slope = backward.node("Mul", node.output[0], rest)
    backward.give(node.input[0], backward.node("Mul", gradient, slope))


def _reshape(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    shape = backward.node("Shape", node.input[0])
    backward.give(node.input[0], backward.node("Reshape", gradient, shape))


def _tile(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    counts = backward.graph.weight(node.input[1])
    sizes = backward.shape(node.input[0])
    if counts is None or counts[0] != 1:
        raise VariantRefused(f"{node.name} repeats by what the graph computes, or the batch")
    shape: list[int] = []
    repeated = []
    for size, count in zip(sizes, counts.tolist(), strict=True):
        if count != 1:
            repeated.append(len(shape))
            shape.append(count)
        shape.append(-1 if size is None else size)
    apart = backward.node("Reshape", gradient, backward.constant(shape, np.int64))
    axes = backward.constant(repeated, np.int64)
    backward.give(node.input[0], backward.node("ReduceSum", apart, axes, keepdims=0))


def _transpose(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    order = attributes(node)["perm"]
    back = [int(i) for i in np.argsort(order)]
    backward.give(node.input[0], backward.node("Transpose", gradient, perm=back))


def _concatenate(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    axis = attributes(node)["axis"]
    sizes = [backward.shape(name)[axis] for name in node.input]
    if None in sizes:
        raise VariantRefused(f"{node.name} joins batches")
    lengths = backward.constant(sizes, np.int64)
    first = backward.node("Split", gradient, lengths, outputs=len(sizes), axis=axis)
    for number, name in enumerate(node.input):
        backward.give(name, f"{first}.{number}" if number else first)


def _depth_to_space(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    facts = attributes(node)
    if facts.get("mode", b"DCR") != b"DCR":
        raise VariantRefused(f"{node.name} orders channels by columns and rows")
    size = facts["blocksize"]
    backward.give(node.input[0], backward.node("SpaceToDepth", gradient, blocksize=size))


def _matrix(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    facts = attributes(node)
    rows, weights = node.input[:2]
    if facts.get("transA", 0) or any(map(backward.depends, node.input[1:])):
        raise VariantRefused(f"{node.name} multiplies more than rows by weights")
    if len(backward.shape(rows)) != 2:
        raise VariantRefused(f"{node.name} multiplies stacks of matrices")
    given = backward.node(
        "Gemm",
        gradient,
        weights,
        alpha=facts.get("alpha", 1.0),
        transB=1 - facts.get("transB", 0),
    )
    backward.give(rows, given)


def _convolution(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    facts = _plain(backward, node)
    sizes = backward.shape(node.input[0])[2:]
    drawn = backward.shape(node.output[0])[2:]
    pads, spatial = facts["pads"], len(facts["strides"])
    left_out = []
    for i, (size, out) in enumerate(zip(sizes, drawn, strict=True)):
        reach = facts["dilations"][i] * (facts["kernel_shape"][i] - 1) + 1
        back = (out or 0) * facts["strides"][i] - facts["strides"][i] + reach
        left_out.append((size or 0) - (back - pads[i] - pads[spatial + i]))
    given = backward.node(
        "ConvTranspose", gradient, node.input[1], output_padding=left_out, **facts
    )
    backward.give(node.input[0], given)


def _transposed_convolution(backward: Backward, node: onnx.NodeProto, gradient: str) -> None:
    facts = _plain(backward, node)
    backward.give(node.input[0], backward.node("Conv", gradient, node.input[1], **facts))


def _plain(backward: Backward, node: onnx.NodeProto) -> dict[str, Any]:
    """Return what a convolution's gradient takes over from it, everything said in full.

    Raises:
        VariantRefused: its padding is left to the runtime, or its weights depend on the latents.
    """
    facts = attributes(node)
    automatic = facts.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in facts
    if automatic or any(map(backward.depends, node.input[1:])):
        raise VariantRefused(f"{node.name} has padding, or weights, that the graph computes")
    kernel = facts.get("kernel_shape") or backward.shape(node.input[1])[2:]
    spatial = len(kernel)
    return {
        "kernel_shape": kernel,
        "strides": facts.get("strides", [1] * spatial),
        "dilations": facts.get("dilations", [1] * spatial),
        "pads": facts.get("pads", [0] * 2 * spatial),
        "group": facts.get("group", 1),
    }


RULES: dict[str, Rule] = {
    "Add": _add,
    "Ceil": _flat,
    "Concat": _concatenate,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _depth_to_space,
    "Div": _divide,
    "Flatten": _reshape,
    "Floor": _flat,
    "Gemm": _matrix,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matrix,
    "Mul": _multiply,
    "Relu": _relu,
    "Reshape": _reshape,
    "Round": _flat,
    "Sigmoid": _sigmoid,
    "Squeeze": _reshape,
    "Sub": _subtract,
    "Tanh": _tanh,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
