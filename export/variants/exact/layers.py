"""The float graph as an exact variant reads it: layers of sums, what lies between, and the tail."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from export.errors import VariantRefused
from export.rewrites.graph import UNARY, Graph, attributes

ACTIVATIONS = {"LeakyRelu", "Relu"}
"""The activations within the network that are exact: one product, rounded as IEEE 754 says."""
MOVERS = {"Concat", "DepthToSpace", "Identity", "Reshape", "Slice", "Squeeze", "Transpose"}
MOVERS |= {"Unsqueeze"}
"""The operators that move values and compute nothing."""
POINTWISE = UNARY | {"Add", "Clip", "Div", "Mul", "Sub"}
"""The operators that may follow the last sums: each maps a value by itself, whatever its place."""


@dataclass(frozen=True)
class Layer:
    """One sum for each channel, which may be that of several nodes, and the activation after it."""

    parts: list[onnx.NodeProto]
    """The Conv and Gemm nodes whose results are added."""
    nodes: list[onnx.NodeProto]
    """All nodes of the layer: the parts, the Add nodes between them, the activation."""
    activation: onnx.NodeProto | None
    output: str
    """The name of the tensor after the activation."""


@dataclass(frozen=True)
class Network:
    """The float graph, read as layers, movers between them, and a tail."""

    graph: Graph
    layers: list[Layer]
    tail: list[onnx.NodeProto]
    """The nodes after the last layer's sums, movers and pointwise ones."""

    def steps(self) -> Iterator[Layer | onnx.NodeProto]:
        """Yield the layers, and the movers between them, each after what it reads."""
        done = {id(node) for node in self.tail}
        last = {id(layer.nodes[-1]): layer for layer in self.layers}
        inner = {id(node) for layer in self.layers for node in layer.nodes}
        for node in self.graph.nodes:
            if id(node) in last:
                yield last[id(node)]
            elif id(node) not in inner | done:
                yield node


def read_network(model: onnx.ModelProto) -> Network:
    """Return ``model``, the rewritten graph with float images, as layers.

    Raises:
        VariantRefused: an operator of the graph cannot be computed exactly; the message names it.
    """
    graph = Graph(model)
    layers, within = [], set[int]()
    for node in graph.nodes:
        if id(node) not in within and _is_sum(graph, node):
            layer = _layer(graph, node)
            within |= {id(x) for x in layer.nodes}
            layers.append(layer)
    if not layers:
        raise VariantRefused("the graph has no layer of sums")
    order = {id(node): place for place, node in enumerate(graph.nodes)}
    layers.sort(key=lambda layer: order[id(layer.nodes[-1])])
    tail = _tail(graph, layers[-1], model.graph.output[0].name)
    known = within | {id(node) for node in tail}
    for node in graph.nodes:
        if id(node) not in known and node.op_type not in MOVERS:
            raise VariantRefused(f"{node.op_type} ({node.name}) cannot be computed exactly")
    return Network(graph, layers, tail)


def _is_sum(graph: Graph, node: onnx.NodeProto) -> bool:
    facts = attributes(node)
    if node.op_type not in ("Conv", "Gemm") or graph.weight(node.input[1]) is None:
        return False
    if node.op_type == "Gemm":
        return not any(facts.get(x) for x in ("transA", "transB")) and all(
            facts.get(x, 1.0) == 1.0 for x in ("alpha", "beta")
        )
    auto = facts.get("auto_pad", b"NOTSET")
    return facts.get("group", 1) == 1 and auto in (b"NOTSET", b"VALID")


def _layer(graph: Graph, first: onnx.NodeProto) -> Layer:
    parts, nodes, end = [first], [first], first
    while (user := graph.only_user(end)) is not None and user.op_type == "Add":
        makers = [graph.maker(name) for name in user.input if name != end.output[0]]
        other = makers[0] if makers else None
        if other is None or not _is_sum(graph, other) or graph.only_user(other) is not user:
            break
        parts, nodes, end = [*parts, other], [*nodes, other, user], user
    user = graph.only_user(end)
    if user is not None and user.op_type in ACTIVATIONS:
        return Layer(parts, [*nodes, user], user, user.output[0])
    return Layer(parts, nodes, None, end.output[0])


def _tail(graph: Graph, last: Layer, output: str) -> list[onnx.NodeProto]:
    """Return the nodes from the last layer's output to the graph's, which have to be a chain."""
    tail: list[onnx.NodeProto] = []
    name = last.output
    while name != output:
        users = graph.users(name)
        if len(users) != 1 or users[0].op_type not in POINTWISE | MOVERS:
            found = ", ".join(f"{x.op_type} ({x.name})" for x in users)
            raise VariantRefused(f"{found} after the last sums cannot be computed exactly")
        tail.append(users[0])
        name = users[0].output[0]
    return tail
