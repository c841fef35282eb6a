"""The first layer in two halves, so that a runtime in bfloat16 loses no bits of the latents.

Of all roundings to eight bits, that of the latents hurts most, since all values are computed from
them; and the first layer is the cheapest by far. Latents and weights are therefore split into the
part that bfloat16 holds and the rest. Each product of two halves is exact, and float32 adds up the
products.

In float32 the result is the same except for the order of the sums. The weights are split in the
graph, by nodes that every runtime folds when it loads, so that the file is no larger.
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
    """Return [low, high, low, high] of the rows times [low, low, high, high] of the weight.

    The small products come first: added to a large sum, each would cost a rounding of that sum.
    Without low times low the images would be the same and 2 % faster, but the sums would have a
    length that OpenVINO in float32 adds up in another way in a batch of one.
    """
    rows, weight, *bias = gemm.input
    nodes = []
    for name, axis, order in ((rows, 1, (1, 0, 1, 0)), (weight, 0, (1, 1, 0, 0))):
        short, high, low, whole = (f"{name}.{x}" for x in ("bfloat16", "high", "low", "halves"))
        parts = [(high, low)[half] for half in order]
        nodes += [
            helper.make_node("Cast", [name], [short], short, to=TensorProto.BFLOAT16),
            helper.make_node("Cast", [short], [high], high, to=TensorProto.FLOAT),
            helper.make_node("Sub", [name, high], [low], low),
            helper.make_node("Concat", parts, [whole], whole, axis=axis),
        ]
    halved = [f"{rows}.halves", f"{weight}.halves", *bias]
    return [*nodes, helper.make_node("Gemm", halved, gemm.output, gemm.name)]
