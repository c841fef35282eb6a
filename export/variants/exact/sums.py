"""The terms of a layer's sums: which tensors of whole numbers are multiplied with which weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import VariantRefused
from export.rewrites.graph import Graph, Weight
from export.variants.exact.calibration import Calibration
from export.variants.exact.layers import Layer
from export.variants.exact.whole import Group, Matrix

MOST_TERMS = 4608
"""The terms of a layer whose roundings make up for each other; more would take minutes."""


@dataclass(frozen=True)
class Digit:
    """A tensor of whole numbers in the exact graph."""

    name: str
    worth: float
    """The worth of a step, in steps of the value."""
    low: float
    high: float


@dataclass(frozen=True)
class Value:
    """A tensor of the float graph, as whole numbers: the sum of digits, times a scale."""

    digits: list[Digit]
    scale: Matrix
    """The scale of each channel, float64 [channels]."""


@dataclass(frozen=True)
class Term:
    """The products of some channels of a digit with their weights: one sum of the exact graph."""

    part: onnx.NodeProto
    value: Value
    digit: Digit
    channels: slice
    weight: Weight
    """The weights in float32, [outputs, inputs, taps...]."""

    @property
    def taps(self) -> tuple[int, ...]:
        """Return the size of the kernel."""
        return self.weight.shape[2:]

    def columns(self, unit: Matrix) -> Matrix:
        """Return the weights in steps of ``unit`` [outputs], float64 [outputs, terms]."""
        own = self.weight.astype(np.float64).reshape(*self.weight.shape[:2], -1)
        own = own[:, self.channels] * (self.value.scale[self.channels, None] * self.digit.worth)
        return (own / unit[:, None, None]).reshape(len(own), -1)

    def factors(self, calibration: Calibration) -> NDArray[np.float32]:
        """Return the digit's values that are summed for some outputs, float32 [samples, terms].

        Each sample counts as much as an error there shows.
        """
        found, shown = calibration.patches(self.part, self.taps)
        values = found.reshape(len(found), len(self.value.scale), -1)[:, self.channels]
        steps = values / self.value.scale[self.channels, None].astype(np.float32)
        clipped = np.clip(steps, self.digit.low, self.digit.high).reshape(len(found), -1)
        weighed: NDArray[np.float32] = (clipped * shown[:, None]).astype(np.float32)
        return weighed


def terms_of(graph: Graph, layer: Layer, values: dict[str, Value], split: int) -> list[Term]:
    """Return the terms of ``layer``, each part's channels ``split`` as far as they divide."""
    found = []
    for part in layer.parts:
        value, weight = values[part.input[0]], constant(graph, part, 1)
        weight = weight.T if part.op_type == "Gemm" else weight
        count = len(value.scale)
        cuts = split if len(value.digits) == 1 and count % split == 0 else 1
        each = count // cuts
        found += [
            Term(part, value, digit, slice(i * each, (i + 1) * each), weight)
            for digit in value.digits
            for i in range(cuts)
        ]
    return found


def groups_of(terms: list[Term]) -> list[Group]:
    """Return the columns of each of ``terms``, laid side by side, and the range of its factors."""
    groups, start = [], 0
    for term in terms:
        each = term.channels.stop - term.channels.start
        end = start + each * int(np.prod(term.taps, dtype=int))
        groups.append((slice(start, end), term.digit.low, term.digit.high))
        start = end
    return groups


def bias_of(graph: Graph, layer: Layer, channels: int) -> Matrix:
    """Return the bias of ``layer``, float64 [channels]."""
    bias = np.zeros(channels)
    for part in layer.parts:
        if len(part.input) > 2 and part.input[2]:
            bias = bias + np.broadcast_to(constant(graph, part, 2), channels).astype(np.float64)
    return bias


def constant(graph: Graph, node: onnx.NodeProto, place: int) -> Weight:
    """Return the input of ``node`` at ``place``, which has to be a constant."""
    weight = graph.weight(node.input[place])
    if weight is None:
        raise VariantRefused(f"input {place} of {node.op_type} ({node.name}) is computed")
    return weight


class Moments:
    """The mean products of the factors of layers; layers that read the same share them."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._found: dict[Any, Matrix] = {}

    def of(self, terms: list[Term]) -> Matrix | None:
        """Return the mean product of each two factors of ``terms``; None for latents, say.

        Latents are independent, so no weight can make up for the rounding of another.
        """
        if any(len(term.value.digits) > 1 for term in terms):
            return None
        if groups_of(terms)[-1][0].stop > MOST_TERMS:
            return None
        key = tuple((term.digit, term.channels.start, term.taps) for term in terms)
        if key not in self._found:
            factors = np.concatenate([term.factors(self._calibration) for term in terms], axis=1)
            self._found[key] = (factors.T @ factors / len(factors)).astype(np.float64)
        return self._found[key]
