"""Dense layers that make their channels in the wanted order and need no Transpose after them."""

from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.rewrites.graph import UNARY, Graph, attributes


def permute_dense(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each Gemm, Reshape and Transpose as a permuted Gemm and a Reshape."""
    graph = Graph(model)
    for turn in [x for x in graph.nodes if x.op_type == "Transpose"]:
        _permute(graph, turn)
    return graph.model()


def _permute(graph: Graph, turn: onnx.NodeProto) -> None:
    reshape = graph.maker(turn.input[0])
    if reshape is None or reshape.op_type != "Reshape" or graph.only_user(reshape) is not turn:
        return
    target = graph.weight(reshape.input[1])
    perm = attributes(turn).get("perm")
    if target is None or perm is None or perm[0] != 0 or len(perm) != len(target):
        return
    dense = _dense(graph, reshape)
    weight = graph.weight(dense.input[1]) if dense is not None else None
    sizes = [int(x) for x in target[1:]]
    if dense is None or weight is None or min(sizes) < 1 or weight.shape[1] != prod(sizes):
        return
    order = np.arange(prod(sizes)).reshape(sizes).transpose([x - 1 for x in perm[1:]]).ravel()
    if not _reorder(graph, dense, weight.shape[1], order):
        return
    shape = graph.add_weight(f"{reshape.name}.shape", target[perm])
    graph.replace(
        [reshape, turn],
        [helper.make_node("Reshape", [reshape.input[0], shape], turn.output, reshape.name)],
    )


def _dense(graph: Graph, reshape: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the Gemm that makes the input of ``reshape``, if only activations lie between."""
    node = reshape
    while (maker := graph.maker(node.input[0])) is not None and graph.only_user(maker) is node:
        if maker.op_type == "Gemm":
            return None if attributes(maker).get("transB") else maker
        if maker.op_type not in UNARY:
            return None
        node = maker
    return None


def _reorder(graph: Graph, dense: onnx.NodeProto, width: int, order: NDArray[np.intp]) -> bool:
    """Put the columns of a Gemm in ``order``; return whether all its operands are weights."""
    held = [graph.weight(name) for name in dense.input[1:]]
    if any(x is None for x in held):
        return False
    columns = [np.broadcast_to(x, (*x.shape[:-1], width)) for x in held if x is not None]
    names = [graph.add_weight(f"{dense.name}.turned", x[..., order]) for x in columns]
    dense.input[1:] = names
    return True
