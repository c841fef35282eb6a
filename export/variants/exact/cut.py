"""Channels that are read in parts are made in parts, so that no runtime has to cut them out.

A layer whose sums are split reads some channels of a tensor, which a Slice copies: a twentieth of
the time where the tensor is large. The same channels can be made by themselves, of the rows of the
weights that make them. Each value is the same as before.
"""

import onnx
from onnx import helper

from export.rewrites.graph import Graph, attributes

LEAST = 64
"""The channels of a part that is made by itself; convolutions of fewer cost more than a copy."""
BY_VALUE = {"Add", "Clip", "LeakyRelu", "Mul", "Relu", "Round"}
"""The operators that map each value by itself."""

Nodes = list[onnx.NodeProto]


def without_slices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with the large parts of tensors made by themselves."""
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    for tensor in dict.fromkeys(node.input[0] for node in graph.nodes if node.op_type == "Slice"):
        parts = graph.users(tensor)
        if any(node.op_type != "Slice" or _size(_channels(graph, node)) < LEAST for node in parts):
            continue
        for part in parts:
            new: Nodes = []
            if name := _made(graph, tensor, _channels(graph, part), new):
                for user in graph.users(part.output[0]):
                    user.input[:] = [name if x == part.output[0] else x for x in user.input]
                graph.replace([part], new)
    return graph.model()


def _channels(graph: Graph, node: onnx.NodeProto) -> slice:
    """Return the channels that a Slice of ``Nodes.part`` copies."""
    start, end = (graph.weight(name) for name in node.input[1:3])
    return slice(0) if start is None or end is None else slice(int(start[0]), int(end[0]))


def _size(channels: slice) -> int:
    return int(channels.stop - (channels.start or 0))


def _made(graph: Graph, tensor: str, channels: slice, new: Nodes) -> str:
    """Append to ``new`` the nodes that make some channels of ``tensor``; return their name.

    The name is empty if an operator makes the tensor of which this function knows no part.
    """
    node, name = graph.maker(tensor), f"{tensor}.{channels.start}to{channels.stop}"
    if node is None:
        return ""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = copy.output[0] = name
    if node.op_type == "Conv" and attributes(node).get("group", 1) == 1:
        weights = [weight for x in node.input[1:] if (weight := graph.weight(x)) is not None]
        copy.input[1:] = [graph.add_weight(name, weight[channels]) for weight in weights]
    elif node.op_type in BY_VALUE:
        copy.input[:] = [_part(graph, x, channels, new) for x in node.input]
    elif join := _blocks(graph, node):
        made = [_made(graph, x, channels, new) for x in join.input]
        copy.input[0] = f"{name}.blocks" if all(made) else ""
        new.append(helper.make_node("Concat", made, [f"{name}.blocks"], f"{name}.blocks", axis=1))
    else:
        return ""
    new.append(copy)
    return name if all(copy.input) else ""


def _part(graph: Graph, name: str, channels: slice, new: Nodes) -> str:
    """Return the name of some channels of the operand ``name``, which may be a constant."""
    weight = graph.weight(name)
    if weight is None:
        return _made(graph, name, channels, new)
    return name if weight.size == 1 else graph.add_weight(name, weight[channels])


def _blocks(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the Concat of a DepthToSpace's blocks, each of which has all its channels."""
    join, facts = graph.maker(node.input[0]), attributes(node)
    if node.op_type != "DepthToSpace" or facts.get("mode", b"DCR") != b"DCR" or join is None:
        return None
    channels = [(graph.shape(x) or [None, None])[1] for x in (*join.input, node.output[0])]
    blocks = join.op_type == "Concat" and len(join.input) == facts["blocksize"] ** 2
    return join if blocks and None not in channels and len(set(channels)) == 1 else None
