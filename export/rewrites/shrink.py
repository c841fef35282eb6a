"""The last convolution, to three channels, moved before DepthToSpace, onto the small image.

A convolution after DepthToSpace can be done before it, with a kernel for each phase, most of it
zeros. A vector register holds 16 channels, so runtimes compute 16 where a layer has 3: the 12
channels of four phases cost no more. DepthToSpace then moves 12 channels only, and not the many
before the layer.
"""

from itertools import product

import numpy as np
import onnx
from onnx import helper

from export.rewrites.graph import Graph, Weight, attributes, plain_conv

VECTOR = 16
"""The number of channels that cost as much as one."""


def shrink(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with each convolution to few channels before DepthToSpace, not after."""
    graph = Graph(model)
    for conv in [x for x in graph.nodes if plain_conv(x)]:
        weave = graph.maker(conv.input[0])
        weight = graph.weight(conv.input[1])
        if weave is None or weave.op_type != "DepthToSpace" or weight is None:
            continue
        block = attributes(weave)["blocksize"]
        few = len(weight) * block**2 <= VECTOR
        if few and graph.only_user(weave) is conv and _keeps_size(conv, weight):
            _swap(graph, weave, conv, weight, block)
    return graph.model()


def _keeps_size(conv: onnx.NodeProto, weight: Weight) -> bool:
    pads = attributes(conv).get("pads", [0] * 4)
    return all(pads[i] + pads[2 + i] == weight.shape[2 + i] - 1 for i in range(2))


def _swap(
    graph: Graph, weave: onnx.NodeProto, conv: onnx.NodeProto, weight: Weight, block: int
) -> None:
    kernel, pads = _small(weight, attributes(conv).get("pads", [0] * 4), block)
    inputs = [weave.input[0], graph.add_weight(f"{conv.name}.small", kernel)]
    bias = graph.weight(conv.input[2]) if len(conv.input) > 2 else None
    if bias is not None:
        inputs.append(graph.add_weight(f"{conv.name}.bias", np.tile(bias, block**2)))
    elif len(conv.input) > 2:
        return
    small = f"{conv.output[0]}.small"
    shape = kernel.shape[2:]
    graph.replace(
        [weave, conv],
        [
            helper.make_node("Conv", inputs, [small], conv.name, kernel_shape=shape, pads=pads),
            helper.make_node("DepthToSpace", [small], conv.output, weave.name, blocksize=block),
        ],
    )


def _small(weight: Weight, pads: list[int], block: int) -> tuple[Weight, list[int]]:
    """Return the kernel of the convolution on the small image's phases, and its padding."""
    channels, inputs, *size = weight.shape
    first = [-pads[i] // block for i in range(2)]
    last = [(block - 1 - pads[i] + size[i] - 1) // block for i in range(2)]
    reach = [last[i] - first[i] + 1 for i in range(2)]
    kernel = np.zeros((block, block, channels, block, block, inputs, *reach), weight.dtype)
    for y, x, row, column in product(range(block), range(block), *map(range, size)):
        down, from_y = divmod(y + row - pads[0], block)
        across, from_x = divmod(x + column - pads[1], block)
        tap = weight[:, :, row, column]
        kernel[y, x, :, from_y, from_x, :, down - first[0], across - first[1]] = tap
    whole = kernel.reshape(block**2 * channels, block**2 * inputs, *reach)
    return whole, [-first[0], -first[1], *last]
