"""The graph as rewrites see it: the makers and users of tensors, and the values of weights."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Weight = NDArray[Any]

UNARY = {"Elu", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh"}
"""The activations that map each value by itself, whatever its place in the tensor."""


class Graph:
    """A copy of a model, which one rewrite alters and ``model()`` returns."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        graph = self._model.graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self._weights = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        self._outputs = {x.name for x in graph.output}
        self._shapes = {
            x.name: [d.dim_value or None for d in x.type.tensor_type.shape.dim]
            for x in (*graph.value_info, *graph.input, *graph.output)
        }

    def weight(self, name: str) -> Weight | None:
        """Return the weight called ``name``; None for a tensor that is computed."""
        return self._weights.get(name)

    def shape(self, name: str) -> list[int | None] | None:
        """Return the inferred shape of a tensor, with None for a dimension that is not fixed."""
        return self._shapes.get(name)

    def users(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read the tensor ``name``."""
        return [node for node in self.nodes if name in node.input]

    def maker(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes the tensor ``name``."""
        return next((node for node in self.nodes if name in node.output), None)

    def only_user(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the only reader of the tensor that ``node`` makes; None if it has several."""
        users = self.users(node.output[0])
        return users[0] if len(users) == 1 and node.output[0] not in self._outputs else None

    def add_weight(self, hint: str, values: Weight) -> str:
        """Keep ``values`` under a name that begins with ``hint`` and return the name."""
        taken = self._weights.keys() | {x for node in self.nodes for x in node.output}
        name = next(n for i in range(len(taken) + 1) if (n := f"{hint}.{i}") not in taken)
        self._weights[name] = np.ascontiguousarray(values)
        return name

    def replace(self, old: Iterable[onnx.NodeProto], new: Sequence[onnx.NodeProto]) -> None:
        """Put the nodes ``new`` in the place of the last of ``old``."""
        gone = [id(node) for node in old]
        last = max(i for i, node in enumerate(self.nodes) if id(node) in gone)
        head = [node for node in self.nodes[:last] if id(node) not in gone]
        self.nodes = [*head, *new, *self.nodes[last + 1 :]]

    def model(self) -> onnx.ModelProto:
        """Return the altered model, without the weights that nothing reads any more."""
        graph = self._model.graph
        read = {name for node in self.nodes for name in node.input} | self._outputs
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        for name, values in self._weights.items():
            if name in read:
                graph.initializer.append(numpy_helper.from_array(values, name))
        return onnx.shape_inference.infer_shapes(self._model, data_prop=True)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of ``node`` by name."""
    return {x.name: helper.get_attribute_value(x) for x in node.attribute}


def plain_conv(node: onnx.NodeProto) -> bool:
    """Return whether ``node`` is a Conv without strides, dilations, groups and auto padding."""
    facts = attributes(node)
    ones = [*facts.get("strides", [1]), *facts.get("dilations", [1]), facts.get("group", 1)]
    auto = facts.get("auto_pad", b"NOTSET")
    return node.op_type == "Conv" and set(ones) == {1} and auto == b"NOTSET"
