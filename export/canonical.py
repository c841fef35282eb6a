"""The canonical form of a graph, whose tensors tf2onnx numbers anew in every run.

A bundle is identified by its digests, so the same SavedModel has to give the same bytes.
"""

from collections import Counter
from operator import attrgetter

import onnx

from export.errors import ConversionFailed
from export.operators import layer_of


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with order and names of nodes, weights and attributes set by the graph.

    The names of the graph's inputs and outputs stay. The n-th node of an operator is called
    ``<operator>_<n>``, and the weight that is its input i ``<operator>_<n>.<i>``. Unused weights
    are left out.

    Raises:
        ConversionFailed: a node holds a graph of its own (a loop or a branch).
    """
    nodes = _in_order(model.graph)
    names = {value.name: value.name for value in (*model.graph.input, *model.graph.output)}
    weights = {weight.name: weight for weight in model.graph.initializer}
    graph = onnx.GraphProto(name="generator", input=model.graph.input, output=model.graph.output)
    count: Counter[str] = Counter()
    for node in nodes:
        count[node.op_type] += 1
        label = f"{node.op_type}_{count[node.op_type]}"
        for place, name in enumerate(node.input):
            if name in weights and name not in names:
                names[name] = f"{label}.{place}"
                graph.initializer.append(_renamed(weights[name], names[name]))
        for place, name in enumerate(node.output):
            names.setdefault(name, f"{label}:{place}" if name else "")
        graph.node.append(_relabelled(node, label, names))
    domains = {node.domain for node in nodes}
    return onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version.partition(" ")[0],  # a commit or "None" follows
        opset_import=[x for x in model.opset_import if x.domain in domains],
        graph=graph,
    )


def _in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need, inputs first; their names do not affect the order."""
    makers = {name: node for node in graph.node for name in node.output if name}
    order: list[onnx.NodeProto] = []
    seen: set[str] = set()
    waiting = [(name, False) for value in reversed(graph.output) for name in [value.name]]
    while waiting:
        name, inputs_done = waiting.pop()
        node = makers.get(name)
        if node is None or (node.output[0] in seen and not inputs_done):
            continue
        if inputs_done:
            order.append(node)
            continue
        seen.add(node.output[0])
        waiting.append((name, True))
        waiting.extend((wanted, False) for wanted in reversed(node.input))
    return order


def _renamed(weight: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = onnx.numpy_helper.to_array(weight)  # tf2onnx stores weights in several encodings
    return onnx.numpy_helper.from_array(values, name)


def _relabelled(node: onnx.NodeProto, label: str, names: dict[str, str]) -> onnx.NodeProto:
    if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        raise ConversionFailed(
            f"{node.op_type} in {layer_of(node.name)} is a loop or a branch, which a generator "
            "needs not; build the generator of plain layers"
        )
    return onnx.NodeProto(
        name=label,
        op_type=node.op_type,
        domain=node.domain,
        input=[names.get(name, name) for name in node.input],
        output=[names[name] for name in node.output],
        attribute=sorted(node.attribute, key=attrgetter("name")),
    )
