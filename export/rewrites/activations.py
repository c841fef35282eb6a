"""Activations moved before the nodes that move data, where runtimes fuse them into convolutions."""

import onnx

from export.rewrites.graph import UNARY, Graph

MOVES_DATA = {"Concat", "DepthToSpace"}


def early_activations(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each activation moved before the node that only moves its data."""
    graph = Graph(model)
    while any(_move(graph, node) for node in graph.nodes):
        pass
    return graph.model()


def _move(graph: Graph, mover: onnx.NodeProto) -> bool:
    activation = graph.only_user(mover) if mover.op_type in MOVES_DATA else None
    if activation is None or activation.op_type not in UNARY:
        return False
    before = []
    for i, name in enumerate(mover.input):
        copy = onnx.NodeProto()
        copy.CopyFrom(activation)
        copy.name = f"{activation.name}.{mover.name}{i}"
        copy.input[0], copy.output[0] = name, f"{name}.{activation.output[0]}"
        before.append(copy)
    after = onnx.NodeProto()
    after.CopyFrom(mover)
    after.input[:] = [x.output[0] for x in before]
    after.output[:] = activation.output
    graph.replace([mover, activation], [*before, after])
    return True
