"""BatchNormalization folded into the layer before it, of which it is a scale and a shift.

tf2onnx writes BatchNormalization as Mul and Add. ONNX Runtime folds these into Conv, and onnxslim
and onnxscript fold BatchNormalization into it; none of them folds Mul and Add into ConvTranspose.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.rewrites.graph import Graph, Weight, attributes

CHANNELS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1}
"""The axis of the output channels in a layer's weight; a Gemm's weight is [inputs, channels]."""
Vector = NDArray[np.float64]


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each scale or shift per channel folded into the layer before it."""
    graph = Graph(model)
    _to_gemm(graph)
    while any(_fold_one(graph, node) for node in graph.nodes):
        pass
    return graph.model()


def _to_gemm(graph: Graph) -> None:
    """Turn a product of rows with a weight into a Gemm, which has a bias too."""
    for node in [x for x in graph.nodes if x.op_type == "MatMul"]:
        weight = graph.weight(node.input[1])
        rows = graph.shape(node.input[0])
        if weight is not None and weight.ndim == 2 and rows is not None and len(rows) == 2:
            graph.replace([node], [helper.make_node("Gemm", node.input, node.output, node.name)])


def _fold_one(graph: Graph, layer: onnx.NodeProto) -> bool:
    user = graph.only_user(layer) if layer.op_type in CHANNELS else None
    weight = graph.weight(layer.input[1]) if user else None
    if user is None or weight is None or not _plain(layer):
        return False
    shift = _bias(graph, layer, _channels(layer, weight))
    affine = _affine(graph, user, layer) if shift is not None else None
    if affine is None or shift is None:
        return False
    scale, more = (np.broadcast_to(x, shift.shape) for x in affine)
    names = [
        graph.add_weight(layer.name + suffix, values.astype(np.float32))
        for suffix, values in (
            (".weight", _scaled(layer, weight.astype(np.float64), scale)),
            (".bias", shift * scale + more),
        )
    ]
    folded = onnx.NodeProto()
    folded.CopyFrom(layer)
    folded.input[:] = [layer.input[0], *names]
    folded.output[:] = user.output
    graph.replace([layer, user], [folded])
    return True


def _plain(layer: onnx.NodeProto) -> bool:
    """Return whether the output channels of ``layer`` are on the axis that ``CHANNELS`` names."""
    facts = attributes(layer)
    if layer.op_type == "Gemm":
        return not any(facts.get(x) for x in ("transA", "transB")) and all(
            facts.get(x, 1.0) == 1.0 for x in ("alpha", "beta")
        )
    return layer.op_type == "Conv" or int(facts.get("group", 1)) == 1


def _channels(layer: onnx.NodeProto, weight: Weight) -> int:
    return int(weight.shape[CHANNELS[layer.op_type]])


def _bias(graph: Graph, layer: onnx.NodeProto, channels: int) -> Vector | None:
    if len(layer.input) < 3 or not layer.input[2]:
        return np.zeros(channels)
    bias = graph.weight(layer.input[2])
    return None if bias is None else np.broadcast_to(bias, channels).astype(np.float64)


def _affine(
    graph: Graph, user: onnx.NodeProto, layer: onnx.NodeProto
) -> tuple[Vector, Vector] | None:
    """Return ``user`` as a scale and a shift for each channel; None if it is neither."""
    if user.op_type == "BatchNormalization" and user.input[0] == layer.output[0]:
        return _normalisation(graph, user)
    if user.op_type in ("Mul", "Add"):
        (other,) = [x for x in user.input if x != layer.output[0]] or [""]
    elif user.op_type in ("Sub", "Div") and user.input[0] == layer.output[0]:
        other = user.input[1]
    else:
        return None
    constant = graph.weight(other)
    vector = None if constant is None else _by_channel(constant, layer)
    if vector is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    return {
        "Mul": (vector, zero),
        "Div": (1 / vector, zero),
        "Add": (one, vector),
        "Sub": (one, -vector),
    }[user.op_type]


def _normalisation(graph: Graph, node: onnx.NodeProto) -> tuple[Vector, Vector] | None:
    found = [graph.weight(name) for name in node.input[1:5]]
    if any(x is None for x in found):
        return None
    gamma, beta, mean, variance = (np.asarray(x, np.float64) for x in found)
    scale = gamma / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    return scale, beta - mean * scale


def _by_channel(constant: Weight, layer: onnx.NodeProto) -> Vector | None:
    """Return ``constant`` as a vector over the channels, None if it varies along another axis."""
    if constant.size == 1:
        return constant.astype(np.float64).reshape(1)
    rank = 2 if layer.op_type == "Gemm" else 4
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if len(shape) != rank or any(size != 1 for i, size in enumerate(shape) if i != 1):
        return None
    return constant.astype(np.float64).reshape(-1)


def _scaled(layer: onnx.NodeProto, weight: Weight, scale: Vector) -> Weight:
    shape = [1] * weight.ndim
    shape[CHANNELS[layer.op_type]] = -1
    return weight * scale.reshape(shape)
