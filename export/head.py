"""The uint8 head: images leave the graph as bytes, a quarter of what floats would be."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.convert import IMAGES, finish

FLOAT_IMAGES = "float_images"
"""The tensor that enters the head: float32 [batch, height, width, channels] in [-1, 1]."""
HALF_RANGE = 127.5


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn float32 images in [-1, 1] into uint8 as the head does: half to even, clipped."""
    levels = (images + np.float32(1.0)) * np.float32(HALF_RANGE)
    clipped: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return clipped


def add_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with the head after its float images: ``images`` is uint8 then."""
    headed = onnx.ModelProto()
    headed.CopyFrom(model)
    graph = headed.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [FLOAT_IMAGES if name == IMAGES else name for name in names]
    for name, value in _CONSTANTS.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.node.extend(_nodes())
    graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    return finish(headed)


def cut_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` without the head, to see the floats of the very graph that serves."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    heads = {node.name for node in _nodes()}
    nodes = [node for node in cut.graph.node if node.name not in heads]
    weights = [x for x in cut.graph.initializer if x.name not in _CONSTANTS]
    del cut.graph.node[:], cut.graph.initializer[:]
    cut.graph.node.extend(nodes)
    cut.graph.initializer.extend(weights)
    cut.graph.output[0].name = FLOAT_IMAGES
    cut.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return finish(cut)


_CONSTANTS = {
    "head.one": 1.0,
    "head.half_range": HALF_RANGE,
    "head.black": 0.0,
    "head.white": 255.0,
}


def _nodes() -> list[onnx.NodeProto]:
    """Return the head; ONNX rounds half to even."""
    return [
        helper.make_node("Add", [FLOAT_IMAGES, "head.one"], ["head.shifted"], "head.shift"),
        helper.make_node("Mul", ["head.shifted", "head.half_range"], ["head.levels"], "head.scale"),
        helper.make_node("Round", ["head.levels"], ["head.rounded"], "head.round"),
        helper.make_node(
            "Clip", ["head.rounded", "head.black", "head.white"], ["head.clipped"], "head.clip"
        ),
        helper.make_node("Cast", ["head.clipped"], [IMAGES], "head.cast", to=TensorProto.UINT8),
    ]
