"""The variant in float16, for GPUs: half the bytes, and tensor cores at twice the rate of TF32.

The latents and the images stay float32. The body of the graph is cast to float16, from its first
layer to the sums before the last activation. If the images were rounded to float16 after that
activation, one near white would be off by a sixteenth of a grey level, which is as much as all
layers before add.
"""

import warnings

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.canonical import canonical
from export.convert import finish
from export.head import add_head
from export.rewrites import REWRITES, rewrite
from export.rewrites.graph import UNARY, Graph
from export.rewrites.halves import halves

POINTWISE = UNARY | {"Add", "Clip", "Div", "Mul", "Sub", "Transpose"}
"""The operators that may follow the sums of the last layer."""


def float16(floats: onnx.ModelProto) -> onnx.ModelProto:
    """Return the generator ``floats`` in float16, rewritten and with the uint8 head.

    The rewrite ``halves`` is left out, as float16 holds the latents well enough.
    """
    model = rewrite(floats, [step for step in REWRITES if step is not halves])
    tail = _tail(model)
    body = onnx.ModelProto()
    body.CopyFrom(model)
    del body.graph.node[len(body.graph.node) - len(tail) :]
    (end,) = _tensors(model, tail[0]) if tail else (model.graph.output[0].name,)
    body.graph.output[0].name = end
    body.graph.output[0].type.tensor_type.ClearField("shape")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parity tells whether weights below the range matter
        cast = convert_float_to_float16(body, keep_io_types=True, op_block_list=[])
    cast.graph.node.extend(tail)
    kept = {x.name for x in cast.graph.initializer}
    read = {name for node in tail for name in node.input}
    cast.graph.initializer.extend(
        x for x in model.graph.initializer if x.name in read and x.name not in kept
    )
    cast.graph.output[0].CopyFrom(model.graph.output[0])
    return add_head(finish(canonical(cast)))


def _tail(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the last nodes of the graph, as far as they map each value by itself."""
    graph = Graph(model)
    tail: list[onnx.NodeProto] = []
    node = graph.maker(model.graph.output[0].name)
    while node is not None and node.op_type in POINTWISE and len(_tensors(model, node)) == 1:
        (tensor,) = _tensors(model, node)
        if len(graph.users(tensor)) > 1:
            break
        tail.insert(0, node)
        node = graph.maker(tensor)
    count = len(tail)
    return list(model.graph.node[len(model.graph.node) - count :]) if count else []


def _tensors(model: onnx.ModelProto, node: onnx.NodeProto) -> list[str]:
    """Return the inputs of ``node`` that are computed, not weights."""
    weights = {x.name for x in model.graph.initializer}
    return [name for name in node.input if name and name not in weights]
