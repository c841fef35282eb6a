"""The uint8 head: images leave the graph as bytes, which take a quarter of the floats' memory."""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.convert import IMAGES, finish

IMAGES_FLOAT = "images_float"
"""The output of the graph without head: float32 [batch, height, width, channels] in [-1, 1]."""
ENTERS, LEAVES = "head.floats", "head.bytes"
"""The names of the head's input and output tensors where they are not the graph's output."""
HALF_RANGE = 127.5


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn float32 images in [-1, 1] into uint8 as the head does: half to even, clipped."""
    levels = images + np.float32(1.0)
    levels *= np.float32(HALF_RANGE)
    np.clip(np.rint(levels, out=levels), 0, 255, out=levels)  # in place: there may be many
    return levels.astype(np.uint8)


def add_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with the head after its float images, so that ``images`` is uint8.

    A Transpose that makes the images is moved behind the head, where it moves bytes, not floats.
    """
    headed = onnx.ModelProto()
    headed.CopyFrom(model)
    graph = headed.graph
    last = graph.node[-1]
    turned = last.op_type == "Transpose" and _is_read_once(graph, last.input[0])
    _rename(graph.node, last.input[0] if turned else IMAGES, ENTERS)
    rest = [graph.node.pop()] if turned else []
    for turn in rest:
        turn.input[0] = LEAVES
    graph.node.extend([*_nodes(LEAVES if turned else IMAGES), *rest])
    for name, value in _CONSTANTS.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    return finish(headed)


def cut_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` without its head, to see the floats of the graph that serves."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    graph = cut.graph
    heads = {node.name for node in _nodes(IMAGES)}
    nodes = [node for node in graph.node if node.name not in heads]
    weights = [x for x in graph.initializer if x.name not in _CONSTANTS]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    turned = any(LEAVES in node.input for node in nodes)
    _rename(graph.node, LEAVES, ENTERS)
    _rename(graph.node, IMAGES if turned else ENTERS, IMAGES_FLOAT)
    graph.output[0].name = IMAGES_FLOAT
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return finish(cut)


def _is_read_once(graph: onnx.GraphProto, name: str) -> bool:
    return sum(list(node.input).count(name) for node in graph.node) == 1


def _rename(nodes: Iterable[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


_CONSTANTS = {
    "head.one": 1.0,
    "head.half_range": HALF_RANGE,
    "head.black": 0.0,
    "head.white": 255.0,
}


def _nodes(leaving: str) -> list[onnx.NodeProto]:
    """Return the nodes of the head, the last of which makes ``leaving``; Round is half to even."""
    return [
        helper.make_node("Add", [ENTERS, "head.one"], ["head.shifted"], "head.shift"),
        helper.make_node("Mul", ["head.shifted", "head.half_range"], ["head.levels"], "head.scale"),
        helper.make_node("Round", ["head.levels"], ["head.rounded"], "head.round"),
        helper.make_node(
            "Clip", ["head.rounded", "head.black", "head.white"], ["head.clipped"], "head.clip"
        ),
        helper.make_node("Cast", ["head.clipped"], [leaving], "head.cast", to=TensorProto.UINT8),
    ]
