"""The bounds of a generator's values, by the operations at its end: a tanh, a sigmoid, a clip.

What a few images show is no proof: one that ends without an activation draws near [-1, 1] too.
"""

from collections.abc import Callable
from math import inf, isnan
from typing import Any

Interval = tuple[float, float]
"""The least and the greatest value."""
UNKNOWN = (-inf, inf)
ACTIVATIONS: dict[str, Interval] = {
    "Tanh": (-1.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Relu6": (0.0, 6.0),
}
"""The operations whose results have bounds, whatever they are given."""
SAME = {
    "Identity", "Reshape", "Transpose", "Squeeze", "ExpandDims", "Cast", "StopGradient",
    "PreventGradient", "EnsureShape", "DepthToSpace", "StridedSlice", "ResizeNearestNeighbor",
    "ResizeBilinear",
}  # fmt: skip
"""The operations whose results are some of the values of their first operand, or between them."""


def _products(a: Interval, b: Interval) -> Interval:
    products = [x * y for x in a for y in b]
    return UNKNOWN if any(map(isnan, products)) else (min(products), max(products))


def _quotients(a: Interval, b: Interval) -> Interval:
    return UNKNOWN if b[0] <= 0 <= b[1] else _products(a, (1 / b[1], 1 / b[0]))


ARITHMETIC: dict[str, Callable[..., Interval]] = {
    "Add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "AddV2": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "BiasAdd": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "Sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "Mul": _products,
    "RealDiv": _quotients,
    "Neg": lambda a: (-a[1], -a[0]),
    "Relu": lambda a: (max(a[0], 0.0), max(a[1], 0.0)),
    "Minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "Maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "ClipByValue": lambda x, low, high: (
        min(max(x[0], low[0]), high[0]),
        min(max(x[1], low[1]), high[1]),
    ),
}
"""The interval of an operation's results by those of its operands."""


def bounds(function: Any) -> Interval:
    """Return the bounds of the first result of ``function``, a concrete function of TensorFlow."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    graph = convert_variables_to_constants_v2(function).graph  # one graph, without calls
    return _bounds(graph.outputs[0])


def _bounds(tensor: Any) -> Interval:
    import tensorflow as tf

    operation = tensor.op
    kind, operands = operation.type, list(operation.inputs)
    if kind in ACTIVATIONS:
        return ACTIVATIONS[kind]
    if kind in SAME:
        return _bounds(operands[0])
    if kind == "ConcatV2":
        parts = [_bounds(x) for x in operands[:-1]]
        return min(x[0] for x in parts), max(x[1] for x in parts)
    if kind == "Const":
        values = tf.make_ndarray(operation.get_attr("value"))
        number = values.size and values.dtype.kind in "fiu"
        return (float(values.min()), float(values.max())) if number else UNKNOWN
    if kind in ARITHMETIC:
        return ARITHMETIC[kind](*map(_bounds, operands))
    return UNKNOWN
