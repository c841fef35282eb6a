"""What tf2onnx writes in a form that ONNX does not have, put into one that it has.

- ``Erfc``, of which Keras's exact GELU is made, becomes ``1 - Erf``; ``Expm1``, of which its CELU
  is made, ``Exp - 1``.
- A transposed convolution of which TensorFlow makes more than its kernel reaches, as with a kernel
  smaller than its stride, gets negative padding on both sides. TensorFlow leaves what is beyond the
  kernel's reach zero, at the end. So the kernel gets zeros at its end here, and no padding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

ONE = "mend.one"
ONE_FROM = {"Erfc": ("Erf", True), "Expm1": ("Exp", False)}
"""The operators that are the difference of one and another operator, and whether it is first."""


def mend(model: onnx.ModelProto) -> None:
    """Alter ``model``, as tf2onnx gives it, so that ONNX has each of its operators."""
    graph = model.graph
    weights = {x.name: x for x in graph.initializer}
    nodes = [made for node in graph.node for made in _mended(node, graph, weights)]
    del graph.node[:]
    graph.node.extend(nodes)


def _mended(
    node: onnx.NodeProto, graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    if node.op_type in ONE_FROM:
        if not any(x.name == ONE for x in graph.initializer):
            graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), ONE))
        kind, first = ONE_FROM[node.op_type]
        made = f"{node.output[0]}.{kind}"
        terms = [ONE, made] if first else [made, ONE]
        yield helper.make_node(kind, node.input, [made], f"{node.name}/{kind}")
        yield helper.make_node("Sub", terms, node.output, node.name)
        return
    weight = weights.get(node.input[1]) if node.op_type == "ConvTranspose" else None
    if weight is not None:
        _no_negative_pads(node, graph, numpy_helper.to_array(weight))
    yield node


def _no_negative_pads(
    node: onnx.NodeProto, graph: onnx.GraphProto, kernel: np.ndarray[Any, Any]
) -> None:
    facts = {x.name: helper.get_attribute_value(x) for x in node.attribute}
    directions = kernel.ndim - 2
    pads = list(facts.get("pads", []))
    if not pads or min(pads) >= 0:
        return
    dilations = facts.get("dilations", [1] * directions)
    zeros = [(0, 0), (0, 0)]
    for i, dilation in enumerate(dilations):
        cut = pads[i] + pads[directions + i]
        taps = max(0, -(cut // dilation))
        if cut < 0:
            pads[i], pads[directions + i] = 0, cut + taps * dilation
        zeros.append((0, taps if cut < 0 else 0))
    name = f"{node.output[0]}.kernel"
    larger = np.pad(kernel, zeros)
    graph.initializer.append(numpy_helper.from_array(larger, name))
    node.input[1] = name
    rest = [x for x in node.attribute if x.name not in ("pads", "kernel_shape")]
    del node.attribute[:]
    node.attribute.extend(rest)
    node.attribute.append(helper.make_attribute("pads", pads))
    node.attribute.append(helper.make_attribute("kernel_shape", larger.shape[2:]))
