"""Convolutions of joined tensors as sums of smaller ones, without a copy or a kernel of zeros."""

import numpy as np
import onnx
from onnx import helper

from export.rewrites.graph import Graph, Weight, attributes, plain_conv


def split(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each Concat and Conv as a sum of one Conv for each joined tensor."""
    graph = Graph(model)
    for conv in [x for x in graph.nodes if plain_conv(x)]:
        join = graph.maker(conv.input[0])
        weight = graph.weight(conv.input[1])
        joined = join is not None and join.op_type == "Concat" and attributes(join)["axis"] == 1
        if join is not None and joined and weight is not None and graph.only_user(join) is conv:
            _split(graph, join, conv, weight)
    return graph.model()


def _split(graph: Graph, join: onnx.NodeProto, conv: onnx.NodeProto, weight: Weight) -> None:
    shapes = [graph.shape(name) for name in join.input]
    widths = [shape[1] for shape in shapes if shape is not None and shape[1]]
    if len(widths) != len(join.input):
        return
    ends = np.cumsum([width or 0 for width in widths])
    nodes: list[onnx.NodeProto] = []
    for name, part in zip(join.input, np.split(weight, ends[:-1], axis=1), strict=True):
        label = f"{conv.output[0]}.part{len(nodes)}"
        kernel, pads = _trimmed(part, attributes(conv).get("pads", [0] * 4))
        inputs = [name, graph.add_weight(label, kernel), *(conv.input[2:] if not nodes else [])]
        shape = kernel.shape[2:]
        before = nodes[-1].output[0] if nodes else ""
        nodes.append(
            helper.make_node("Conv", inputs, [label], label, kernel_shape=shape, pads=pads)
        )
        if before:
            nodes.append(helper.make_node("Add", [before, label], [f"{label}.sum"], f"{label}.sum"))
    nodes[-1].output[0] = conv.output[0]
    graph.replace([join, conv], nodes)


def _trimmed(weight: Weight, pads: list[int]) -> tuple[Weight, list[int]]:
    """Return ``weight`` without the zeros around it that padding allows to cut, and the padding."""
    pads = list(pads)
    for axis in (2, 3):
        size = weight.shape[axis]
        used = np.flatnonzero(np.moveaxis(weight, axis, 0).reshape(size, -1).any(axis=1))
        first, last = (int(used[0]), int(used[-1])) if len(used) else (0, size - 1)
        first = min(first, pads[axis - 2])
        last = max(last, size - 1 - pads[axis])
        pads[axis - 2] -= first
        pads[axis] -= size - 1 - last
        weight = weight.take(range(first, last + 1), axis=axis)
    return weight, pads
