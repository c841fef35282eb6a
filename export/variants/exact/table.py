"""The tail of a generator as a table: from the last sums, as whole numbers, to bytes.

No provider's tanh is asked: a sum becomes an index, and the table holds the byte of each index. It
is computed in the export, by NumPy, once for all processors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from export.convert import OPSET
from export.errors import VariantRefused
from export.head import to_uint8
from export.rewrites.graph import Graph
from export.variants.exact.layers import POINTWISE

FINEST = 16
"""The number of indices for one grey level where the tail is steepest, at least."""
WIDEST = 64.0
"""The largest sum that is looked at; beyond it a tail has to be flat."""
MOST = 2**17
"""The number of a table's entries at most."""


SUMS = "sums"

Floats = NDArray[np.float32]
Function = Callable[[NDArray[Any]], Floats]
"""The function from sums to images in [-1, 1], value by value."""


@dataclass(frozen=True)
class Table:
    """The bytes by index; index i stands for a sum of ``low + i * step``."""

    entries: NDArray[np.uint8]
    low: float
    step: float
    draw: Function
    """The tail as a function, from sums to images in [-1, 1]."""

    def slope(self, sums: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how steep the tail is at ``sums``."""
        rise = self.draw(sums.ravel() + self.step) - self.draw(sums.ravel())
        return (rise / np.float32(self.step)).reshape(sums.shape)


def make_table(graph: Graph, tail: Sequence[onnx.NodeProto]) -> Table:
    """Return the table of the pointwise nodes in ``tail``, with the uint8 head after them.

    Raises:
        VariantRefused: a node is not the same for all channels, or the tail is flat nowhere.
    """
    draw = _function(graph, [node for node in tail if node.op_type in POINTWISE])
    coarse = np.linspace(-WIDEST, WIDEST, 2**16 + 1)
    levels = to_uint8(draw(coarse))
    moving = np.flatnonzero(np.diff(levels.astype(np.int16)))
    if not len(moving) or moving[0] == 0 or moving[-1] == len(levels) - 2:
        raise VariantRefused(f"the tail gives no black and white within sums of {WIDEST:g}")
    low, high = coarse[moving[0]], coarse[moving[-1] + 1]
    steepest = float(np.abs(np.diff(draw(coarse).astype(np.float64))).max() * 127.5)
    wanted = 2 * WIDEST / 2**16 / (steepest * FINEST)
    step = 2.0 ** np.floor(np.log2(wanted))
    first, last = np.floor(low / step), np.ceil(high / step)
    if last - first >= MOST:
        raise VariantRefused(f"the tail needs a table of more than {MOST} entries")
    sums = np.arange(first, last + 1) * step
    return Table(to_uint8(draw(sums)), float(first * step), float(step), draw)


def _function(graph: Graph, nodes: Sequence[onnx.NodeProto]) -> Function:
    """Return ``nodes``, one after the other, as a function on sums of any shape."""
    constants: dict[str, Floats] = {}
    chain, name = [], SUMS
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for place, given in enumerate(node.input):
            weight = graph.weight(given)
            if weight is None:
                copy.input[place] = name
            elif weight.size != 1:
                raise VariantRefused(f"{node.op_type} ({node.name}) differs by channel")
            else:
                constants[given] = weight.reshape(())
        name = copy.output[0] = f"{node.output[0]}.value"
        chain.append(copy)
    if not chain:
        return lambda sums: sums.astype(np.float32)
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            chain,
            "tail",
            [value(SUMS, onnx.TensorProto.FLOAT, None)],
            [value(name, onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(x, given) for given, x in constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    evaluator = ReferenceEvaluator(model)

    def draw(sums: NDArray[Any]) -> Floats:
        (found,) = evaluator.run([name], {SUMS: sums.astype(np.float32)})
        return np.asarray(found)

    return draw
