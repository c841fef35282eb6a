"""The nodes and the constants of an exact graph, as they are written one after the other."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Nodes:
    """Nodes of a graph; each has the name of the tensor that it makes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def add(self, operator: str, inputs: Iterable[str], output: str, **facts: Any) -> str:
        """Add the node that makes ``output``, and return that name."""
        self._nodes.append(helper.make_node(operator, [*inputs], [output], output, **facts))
        return output

    def keep(self, name: str, values: NDArray[Any]) -> str:
        """Keep a constant and return its name."""
        self._constants[name] = values
        return name

    def clip(self, name: str, low: float, high: float, output: str) -> str:
        """Add a Clip to [``low``, ``high``]."""
        return self.add("Clip", [name, self._number(low), self._number(high)], output)

    def scale(self, name: str, factor: float, output: str) -> str:
        """Add a product with ``factor``."""
        return self.add("Mul", [name, self._number(factor)], output)

    def scale_channels(self, name: str, factors: NDArray[np.float32], output: str) -> str:
        """Add a product with ``factors``, which are broadcast to the tensor ``name``."""
        return self.add("Mul", [name, self.keep(f"{output}.factors", factors)], output)

    def part(self, name: str, channels: slice) -> str:
        """Return some channels of the tensor ``name``, which are cut out once."""
        output = f"{name}.{channels.start}to{channels.stop}"
        if not any(output in node.output for node in self._nodes):
            ends = {"start": channels.start, "end": channels.stop, "axis": 1}
            kept = [self.keep(f"{output}.{x}", np.array([ends[x]], np.int64)) for x in ends]
            self.add("Slice", [name, *kept], output)
        return output

    def model(self, like: onnx.ModelProto) -> onnx.ModelProto:
        """Return the graph with the input and the output of ``like``, whose images are bytes."""
        self._nodes[-1].output[0] = like.graph.output[0].name
        model = onnx.ModelProto()
        model.CopyFrom(like)
        graph = model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self._constants.items()
        )
        graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
        return model

    def _number(self, value: float) -> str:
        return self.keep(f"number.{value:g}", np.array(value, np.float32))
