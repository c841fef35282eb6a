"""Transposed convolutions as plain ones on the small image, which runtimes run far faster.

With a kernel of k * stride, each pixel of an output phase (its position modulo the stride) sees
only k of the kernel's taps in a direction. One plain convolution for each phase, with that phase's
own padding, computes the phase without multiplying by zeros. DepthToSpace then interleaves the
phases.

Source: W. Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
arXiv:1609.07009.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx
from onnx import helper

from export.rewrites.graph import Graph, Weight, attributes


@dataclass(frozen=True)
class Axis:
    """One direction of a transposed convolution: ``size`` pixels become ``length``."""

    size: int
    kernel: int
    stride: int
    before: int
    """The padding taken from the start of the output."""
    after: int
    """The padding taken from the end of the output."""

    @property
    def taps(self) -> int:
        """Return the number of the kernel's taps that a pixel sees."""
        return self.kernel // self.stride

    @property
    def length(self) -> int:
        """Return the size of the output."""
        return self.stride * (self.size - 1) + self.kernel - self.before - self.after

    @property
    def rows(self) -> int:
        """Return the number of pixels of a phase; the last ones may lie beyond the output."""
        return -(-self.length // self.stride)

    def phase(self, place: int) -> tuple[slice, int, int]:
        """Return the kernel's taps of phase ``place``, last one first, and the phase's padding."""
        shift, first = divmod(place + self.before, self.stride)
        taps = slice(
            first + (self.taps - 1) * self.stride, first - 1 if first else None, -self.stride
        )
        return taps, self.taps - 1 - shift, self.rows - self.size + shift


def subpixel(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with every transposed convolution that can be in its sub-pixel form."""
    graph = Graph(model)
    for node in [x for x in graph.nodes if x.op_type == "ConvTranspose"]:
        weight = graph.weight(node.input[1])
        axes = _axes(graph, node, weight) if weight is not None else None
        if axes is not None and weight is not None:
            graph.replace([node], _nodes(graph, node, weight, axes))
    return graph.model()


def _axes(graph: Graph, node: onnx.NodeProto, weight: Weight) -> list[Axis] | None:
    """Return both directions of ``node``, None if the rewrite does not apply to it."""
    facts = attributes(node)
    shape = graph.shape(node.input[0])
    if weight.ndim != 4 or shape is None or None in shape[2:]:
        return None
    if facts.get("group", 1) != 1 or "output_shape" in facts:
        return None
    if facts.get("auto_pad", b"NOTSET") != b"NOTSET" or set(facts.get("dilations", [1])) != {1}:
        return None
    strides, pads = facts.get("strides", [1, 1]), facts.get("pads", [0] * 4)
    more = facts.get("output_padding", [0, 0])
    axes = [
        Axis(
            int(shape[2 + i] or 0), weight.shape[2 + i], strides[i], pads[i], pads[2 + i] - more[i]
        )
        for i in range(2)
    ]
    right = all(x.kernel % x.stride == 0 and x.before < x.kernel for x in axes)
    padded = all(min(x.phase(place)[1:]) >= 0 for x in axes for place in range(x.stride))
    return axes if right and padded and any(x.stride > 1 for x in axes) else None


def _nodes(
    graph: Graph, node: onnx.NodeProto, weight: Weight, axes: list[Axis]
) -> list[onnx.NodeProto]:
    """Return a convolution for each phase, and the nodes that interleave the phases."""
    nodes = []
    bias = graph.weight(node.input[2]) if len(node.input) > 2 else None
    for places in product(*(range(axis.stride) for axis in axes)):
        (down, top, bottom), (across, left, right) = map(Axis.phase, axes, places)
        label = f"{node.name}.phase{places[0]}{places[1]}"
        kernel = weight[:, :, down, across].swapaxes(0, 1)
        # Each phase has a copy of the bias: OpenVINO adds a shared bias in a separate pass.
        own = [graph.add_weight(label, bias)] if bias is not None else node.input[2:]
        nodes.append(
            helper.make_node(
                "Conv",
                [node.input[0], graph.add_weight(label, kernel), *own],
                [label],
                label,
                kernel_shape=kernel.shape[2:],
                pads=[top, left, bottom, right],
            )
        )
    woven = f"{node.name}.woven"
    phases = [x.output[0] for x in nodes]
    nodes.append(helper.make_node("Concat", phases, [f"{node.name}.phases"], axis=1))
    nodes += _weave(graph, f"{node.name}.phases", woven, weight.shape[1], axes)
    ends = np.array([axis.length for axis in axes])
    if any(axis.length < axis.stride * axis.rows for axis in axes):
        names = [graph.add_weight(woven, x) for x in (np.zeros_like(ends), ends, np.array([2, 3]))]
        nodes.append(helper.make_node("Slice", [woven, *names], [f"{woven}.cut"]))
    nodes[-1].output[0] = node.output[0]
    return nodes


def _weave(
    graph: Graph, phases: str, woven: str, channels: int, axes: list[Axis]
) -> list[onnx.NodeProto]:
    rows, columns = axes
    if rows.stride == columns.stride:
        return [helper.make_node("DepthToSpace", [phases], [woven], blocksize=rows.stride)]
    apart = np.array([0, rows.stride, columns.stride, channels, rows.rows, columns.rows])
    whole = np.array([0, channels, rows.stride * rows.rows, columns.stride * columns.rows])
    apart_name, whole_name = graph.add_weight(woven, apart), graph.add_weight(woven, whole)
    return [
        helper.make_node("Reshape", [phases, apart_name], [f"{woven}.apart"]),
        helper.make_node(
            "Transpose", [f"{woven}.apart"], [f"{woven}.turned"], perm=[0, 3, 4, 1, 5, 2]
        ),
        helper.make_node("Reshape", [f"{woven}.turned", whole_name], [woven]),
    ]
