"""The first layer's latents in two parts, of which a runtime in bfloat16 loses few bits.

Of all roundings to eight bits, that of the latents hurts most, since all values are computed from
them; and the first layer is the cheapest by far. Latents are therefore split into whole sixteenths,
which bfloat16 holds up to 16, and the rest, which is so small that its rounding does not matter.

The parts are made by operators that every runtime has, and whose result does not depend on how a
runtime rounds. In float32 they add up to the latents, and the images are the same except for the
order of the sums. The weights are joined in the graph, by a node that runtimes fold when they load,
so that the file is no larger.
"""

import numpy as np
import onnx
from onnx import helper

from export.convert import finish
from export.rewrites.graph import Graph, attributes

STEPS = 16
"""The steps of a high part in one; a power of two, so that scaling is exact."""

OF_PARTS = {"Cast", "Concat", "Floor", "Mul", "Sub"}
"""The operators that split a tensor and join its parts."""


def halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each Gemm on its latents, if it has one, as a Gemm of both parts.

    Latents that a class stands beside are latents too.
    """
    graph = Graph(model)
    latents = model.graph.input[0].name
    users = graph.users(latents)
    rows = [latents, *(node.output[0] for node in users if node.op_type == "Concat")]
    for gemm in [node for name in rows for node in graph.users(name)]:
        plain = gemm.op_type == "Gemm" and not attributes(gemm)
        if plain and gemm.input[0] in rows and graph.weight(gemm.input[1]) is not None:
            graph.replace([gemm], _nodes(graph, gemm))
    return graph.model()


def _nodes(graph: Graph, gemm: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return [low, high] of the rows times the weight, twice.

    The small products come first: added to a large sum, each would cost a rounding of that sum.
    """
    rows, weight, *bias = gemm.input
    names = (f"{rows}.{x}" for x in ("steps", "whole", "high", "low", "halves"))
    steps, whole, high, low, both = names
    up, down = (
        graph.add_weight(f"{rows}.scale", np.array(scale, np.float32))
        for scale in (STEPS, 1 / STEPS)
    )
    return [
        helper.make_node("Mul", [rows, up], [steps], steps),
        helper.make_node("Floor", [steps], [whole], whole),
        helper.make_node("Mul", [whole, down], [high], high),
        helper.make_node("Sub", [rows, high], [low], low),
        helper.make_node("Concat", [low, high], [both], both, axis=1),
        helper.make_node("Concat", [weight] * 2, [f"{weight}.twice"], f"{weight}.twice", axis=0),
        helper.make_node("Gemm", [both, f"{weight}.twice", *bias], gemm.output, gemm.name),
    ]


def without_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model``, with or without its head, with a plain Gemm where there are parts.

    It knows the parts that ``halves`` makes, and those of bundles exported before, which casts to
    bfloat16 made. The weights stand in the graph as they were, so the images differ by the order of
    the sums alone.
    """
    graph = Graph(model)
    parts: list[onnx.NodeProto] = []
    for gemm in [node for node in graph.nodes if node.op_type == "Gemm"]:
        (rows, of_rows), (weight, of_weight) = (_whole(graph, name) for name in gemm.input[:2])
        if rows and weight:
            plain = [rows, weight, *gemm.input[2:]]
            made = helper.make_node("Gemm", plain, gemm.output, gemm.name)
            graph.replace([gemm], [made])
            parts += [*of_rows, *of_weight]
    for node in reversed(graph.nodes):  # other layers may have the same parts
        if any(node is part for part in parts) and not graph.users(node.output[0]):
            graph.replace([node], [])
    return finish(graph.model())


def _whole(graph: Graph, name: str) -> tuple[str, list[onnx.NodeProto]]:
    """Return the tensor whose parts are joined as ``name``, and the nodes that split and join it.

    The tensor's name is empty if ``name`` is not made of the parts of one tensor.
    """
    nodes: list[onnx.NodeProto] = []
    sources = set()
    waiting = [name]
    while waiting:
        node = graph.maker(part := waiting.pop())
        if node is not None and node.op_type in OF_PARTS:
            nodes += [] if node in nodes else [node]
            waiting += node.input
        elif (weight := graph.weight(part)) is None or weight.size > 1:  # one value is a scale
            sources.add(part)
    joined = bool(nodes) and nodes[0].op_type == "Concat" and len(sources) == 1
    return (sources.pop(), nodes) if joined else ("", [])
