"""The backward half of a graph while it is made: the gradient of each tensor, and its nodes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.errors import VariantRefused
from export.rewrites.graph import Graph


class Backward:
    """Collects the nodes that go through ``graph`` backwards.

    Only tensors that depend on ``source`` get a gradient.
    """

    def __init__(self, graph: Graph, source: str) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self._depends = _dependants(graph, source)
        self._gradients: dict[str, str] = {}
        """The name of each tensor's gradient, as far as it is summed up."""

    def depends(self, tensor: str) -> bool:
        """Tell whether ``tensor`` has a gradient."""
        return tensor in self._depends

    def gradient(self, tensor: str) -> str | None:
        """Return the gradient of ``tensor``; None if nothing that is used depends on it."""
        return self._gradients.get(tensor)

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node, and return the name of its first output; others end with their number."""
        name = f"gradient.{len(self.nodes)}.{kind}"
        names = [name, *(f"{name}.{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name, **attributes))
        return name

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """Return the name of a weight with ``values``."""
        array: NDArray[Any] = np.asarray(values, dtype)
        return self.graph.add_weight("gradient.constant", array)

    def give(self, tensor: str, gradient: str) -> None:
        """Add ``gradient`` to that of ``tensor``, if that depends on the source."""
        if not self.depends(tensor):
            return
        before = self._gradients.get(tensor)
        self._gradients[tensor] = self.node("Add", before, gradient) if before else gradient

    def check_same_shape(self, node: onnx.NodeProto) -> None:
        """Check that no computed input of ``node`` is repeated to fit the others.

        Raises:
            VariantRefused: one is: its gradient would be a sum.
        """
        wanted = self.shape(node.output[0])
        for name in filter(self.depends, node.input):
            if self.shape(name) != wanted:
                raise VariantRefused(f"{node.name} repeats {name} to fit its other input")

    def shape(self, tensor: str) -> list[int | None]:
        """Return the shape of ``tensor``, None for the batch.

        Raises:
            VariantRefused: it is not known before the graph runs.
        """
        shape = self.graph.shape(tensor)
        if not shape or None in shape[1:]:
            raise VariantRefused(f"the shape of {tensor} is not known: {shape}")
        return shape


def _dependants(graph: Graph, source: str) -> set[str]:
    found = {source}
    for node in graph.nodes:
        if any(name in found for name in _values(node)):
            found.update(node.output)
    return found


def _values(node: onnx.NodeProto) -> Iterable[str]:
    """Return the inputs of ``node`` whose values count; a shape's does not depend on latents."""
    return () if node.op_type == "Shape" else node.input
