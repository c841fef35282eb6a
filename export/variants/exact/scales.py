"""The channels that share a scale, since a mover lays their values into one channel.

Each channel of a tensor of whole numbers has a scale, the real value of a step. DepthToSpace lays
four channels into one, whose steps have to be the same; so does the Reshape after a Dense layer.
"""

import math

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import VariantRefused
from export.rewrites.graph import attributes
from export.variants.exact.layers import Layer, Network

Labels = NDArray[np.int64]
"""The label of each channel of a tensor, int64 [channels]."""


class Scales:
    """Sets of channels that share a scale, over all tensors of a network."""

    def __init__(self, network: Network, latents: str, latent_dim: int) -> None:
        self._parent: list[int] = []
        self._network = network
        self.labels: dict[str, Labels] = {latents: self._new(latent_dim)}
        """The labels of each tensor's channels; ``of`` says which share a scale."""
        for step in network.steps():
            if isinstance(step, Layer):
                self.labels[step.output] = self._new(self._channels(step))
            else:
                self.labels[step.output[0]] = self._moved(step)

    def of(self, tensor: str) -> Labels:
        """Return for each channel of ``tensor`` the number of the set that it belongs to."""
        return np.array([self._find(label) for label in self.labels[tensor]], np.int64)

    def _channels(self, layer: Layer) -> int:
        weight = self._network.graph.weight(layer.parts[0].input[1])
        if weight is None:
            raise VariantRefused(f"the weight of {layer.parts[0].name} is computed")
        return int(weight.shape[1 if layer.parts[0].op_type == "Gemm" else 0])

    def _new(self, count: int) -> Labels:
        first = len(self._parent)
        self._parent += range(first, first + count)
        return np.arange(first, first + count)

    def _find(self, label: int) -> int:
        while self._parent[label] != label:
            label = self._parent[label]
        return label

    def _join(self, labels: Labels) -> int:
        roots = sorted({self._find(int(label)) for label in labels.ravel()})
        for root in roots[1:]:
            self._parent[root] = roots[0]
        return roots[0]

    def _moved(self, node: onnx.NodeProto) -> Labels:
        """Return the labels after the mover ``node``."""
        found = [self.labels[name] for name in node.input if name in self.labels]
        facts = attributes(node)
        if node.op_type == "Concat" and facts["axis"] == 1:
            return np.concatenate(found)
        if node.op_type == "DepthToSpace":
            block = facts["blocksize"] ** 2
            by_phase = (block, -1) if facts.get("mode", b"DCR") == b"DCR" else (-1, block)
            apart = found[0].reshape(by_phase)
            apart = apart if by_phase[0] == block else apart.T
            return np.array([self._join(column) for column in apart.T])
        return self._reshaped(node, found[0])

    def _reshaped(self, node: onnx.NodeProto, labels: Labels) -> Labels:
        shape = self._network.graph.shape(node.output[0])
        before = self._network.graph.shape(node.input[0])
        if shape is None or before is None or len(shape) < 2 or shape[1] is None:
            raise VariantRefused(f"{node.op_type} ({node.name}) has no fixed shape")
        channels = int(shape[1])
        pixels = None if None in shape[2:] else math.prod(int(x or 0) for x in shape[2:])
        if node.op_type in ("Reshape", "Unsqueeze", "Identity") and len(before) == 2 and pixels:
            return np.array([self._join(row) for row in labels.reshape(channels, pixels)])
        return np.full(channels, self._join(labels))
