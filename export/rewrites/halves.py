"""The first layer in two halves, so that a runtime in bfloat16 sees the latents whole.

Of all roundings to eight bits that of the latents hurts most: everything comes of them. The layer
is also the cheapest by far. Latents and weights are therefore taken apart into what bfloat16
holds and the rest, each product of a half with a half is exact, and float32 adds them up.

In float32 the result is the same but for the order of the sums. The weights are taken apart in
the graph, by nodes that every runtime folds when it loads, so that the file is no larger.
"""

import onnx
from onnx import TensorProto, helper

from export.rewrites.graph import Graph, attributes


def halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with the Gemm on its input, if it has one, as a Gemm of halves."""
    graph = Graph(model)
    latents = model.graph.input[0].name
    for gemm in graph.users(latents):
        plain = gemm.op_type == "Gemm" and not attributes(gemm)
        if plain and gemm.input[0] == latents and graph.weight(gemm.input[1]) is not None:
            graph.replace([gemm], _nodes(gemm))
    return graph.model()


def _nodes(gemm: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return [low, high, high] of the rows times [whole, low, high] of the weight.

    The small products come first: added to a large sum, each would cost a rounding of it. A whole
    weight in float32 is its high half in bfloat16: there, what is left out is low times low, less
    than the rounding of the sum.
    """
    rows, weight, *bias = gemm.input
    nodes = []
    for name, axis, order in ((rows, 1, ("low", "high", "high")), (weight, 0, ("", "low", "high"))):
        short, high, low, joined = (f"{name}.{x}" for x in ("bfloat16", "high", "low", "halves"))
        parts = [f"{name}.{half}" if half else name for half in order]
        nodes += [
            helper.make_node("Cast", [name], [short], short, to=TensorProto.BFLOAT16),
            helper.make_node("Cast", [short], [high], high, to=TensorProto.FLOAT),
            helper.make_node("Sub", [name, high], [low], low),
            helper.make_node("Concat", parts, [joined], joined, axis=axis),
        ]
    halved = [f"{rows}.halves", f"{weight}.halves", *bias]
    return [*nodes, helper.make_node("Gemm", halved, gemm.output, gemm.name)]
