"""The bound on every sum of an exact graph, computed from its weights and from what it clips to.

The graph is read as it stands in the file, whoever made it. Each tensor is followed as whole
numbers of a step, a power of two, between a lowest and a highest value. A sum is exact, whatever
the order of its terms and however they are fused, if all its terms are multiples of a step and no
sum of any of them exceeds 2^24 steps: float32 then holds every partial sum. This is true of any
convolution that adds products of its inputs and its weights. One that transforms both first
(Winograd's) does other sums: none of these providers does so with kernels of 2 x 2, and the proof
on each of them would show it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx
from onnx import TensorProto

from export.errors import VariantRefused
from export.rewrites.graph import Graph, Weight, attributes
from export.variants.exact.layers import ACTIVATIONS, MOVERS
from export.variants.exact.whole import LIMIT, Matrix, reach


@dataclass(frozen=True)
class Span:
    """The values that a tensor may hold: multiples of ``step`` from ``low`` to ``high``."""

    step: float
    """A power of two; 0 for values that were rounded as float32 rounds them."""
    low: float
    high: float


ANY = Span(0.0, -math.inf, math.inf)
"""The latents: any float32."""


def largest_sum(model: onnx.ModelProto) -> float:
    """Return the largest sum that ``model`` can compute, as a share of what float32 holds exactly.

    Raises:
        VariantRefused: a sum may be larger, or an operator is not exact; the message names it.
    """
    graph = Graph(model)
    spans = {value.name: ANY for value in model.graph.input}
    shares = [0.0]
    for node in graph.nodes:
        known = [spans.get(name) for name in node.input]
        spans[node.output[0]] = _span(graph, node, known, shares)
    return max(shares)


def _span(
    graph: Graph, node: onnx.NodeProto, spans: list[Span | None], shares: list[float]
) -> Span:
    if node.op_type in ("Conv", "ConvTranspose", "Gemm") and spans[0] and not any(spans[1:]):
        return _sum(graph, node, spans[0], shares)
    if node.op_type in ("Add", "Sub") and all(spans):
        first, second = (span for span in spans if span)
        return _added(node, first, second, shares)
    rule = RULES.get(node.op_type, _moved if node.op_type in MOVERS else None)
    computed = [span for span in spans if span]
    if rule is None or not computed:
        raise VariantRefused(f"{node.op_type} ({node.name}) is not known to be exact")
    return rule(graph, node, computed)


def _sum(graph: Graph, node: onnx.NodeProto, span: Span, shares: list[float]) -> Span:
    """Return the span of a layer's sums, each of which has a step of its own."""
    given = [graph.weight(name) for name in node.input[1:]]
    weight = given[0]
    if weight is None or not span.step or not math.isfinite(span.high - span.low):
        raise VariantRefused(f"{node.op_type} ({node.name}) sums values without a bound or a step")
    rows = _rows(node, weight.astype(np.float64))
    bias = np.zeros(rows.shape[1])
    if len(given) > 1 and given[1] is not None:
        bias = np.broadcast_to(given[1].astype(np.float64), bias.shape)
    sizes = np.max([reach(each, span.low, span.high) for each in rows], axis=0) + np.abs(bias)
    steps = np.minimum(_step(np.concatenate(list(rows), axis=1)) * span.step, _step(bias[:, None]))
    share = float((sizes / steps).max() / LIMIT)
    shares.append(share)
    if share > 1:
        raise VariantRefused(
            f"{node.op_type} ({node.name}) may reach {share:.3g} times what float32 sums exactly"
        )
    return Span(float(steps.min()), -float(sizes.max()), float(sizes.max()))


def _rows(node: onnx.NodeProto, weight: Matrix) -> Matrix:
    """Return the weights of each output, float64 [phases, outputs, terms].

    A transposed convolution with strides has phases: an output sees every stride-th tap alone.
    """
    facts = attributes(node)
    if node.op_type == "Gemm":
        plain = not facts.get("transA") and {facts.get(x, 1.0) for x in ("alpha", "beta")} == {1.0}
        if not plain:
            raise VariantRefused(f"Gemm ({node.name}) scales its sums")
        return (weight if facts.get("transB") else weight.T)[None]
    if node.op_type == "Conv":
        return weight.reshape(len(weight), -1)[None]
    strides = facts.get("strides", [1, 1])
    turned = weight.swapaxes(0, 1)
    taps = [
        turned[:, :, y :: strides[0], x :: strides[1]] for y, x in product(*map(range, strides))
    ]
    widest = max(part[0].size for part in taps)
    padded = np.zeros((len(taps), len(turned), widest))
    for place, part in enumerate(taps):
        padded[place, :, : part[0].size] = part.reshape(len(part), -1)
    return padded


def _step(rows: Matrix) -> Matrix:
    """Return for each row the largest power of two of which all its values are multiples."""
    mantissa, exponent = np.frexp(rows)
    whole = (np.abs(mantissa) * 2.0**53).astype(np.int64)
    zeros = np.log2((whole & -whole).clip(min=1).astype(np.float64))
    lowest = np.where(rows == 0, 1023, exponent - 53 + zeros)
    found: Matrix = np.exp2(lowest.min(axis=1))
    return found


def _added(node: onnx.NodeProto, first: Span, second: Span, shares: list[float]) -> Span:
    if not first.step or not second.step:
        raise VariantRefused(f"{node.op_type} ({node.name}) adds values that have no step")
    if node.op_type == "Sub":
        second = Span(second.step, -second.high, -second.low)
    step, low, high = (
        min(first.step, second.step),
        first.low + second.low,
        first.high + second.high,
    )
    share = max(-low, high) / step / LIMIT
    shares.append(share)
    if share > 1:
        raise VariantRefused(
            f"{node.op_type} ({node.name}) may reach {share:.3g} times what float32 sums exactly"
        )
    return Span(step, low, high)


def _moved(_graph: Graph, _node: onnx.NodeProto, spans: list[Span]) -> Span:
    return Span(
        min(span.step for span in spans),
        min(span.low for span in spans),
        max(span.high for span in spans),
    )


def _rounded(_graph: Graph, _node: onnx.NodeProto, spans: list[Span]) -> Span:
    (span,) = spans
    down, up = (math.floor, math.ceil) if math.isfinite(span.high - span.low) else (float, float)
    return Span(max(span.step, 1.0), down(span.low), up(span.high))


def _clipped(graph: Graph, node: onnx.NodeProto, spans: list[Span]) -> Span:
    (span,) = spans
    low, high = (float(_only(graph, node, i)) for i in (1, 2))
    step = min(span.step, *(float(_step(np.array([[x]]))[0]) for x in (low, high)))
    return Span(step, max(low, span.low), min(high, span.high))


def _scaled(graph: Graph, node: onnx.NodeProto, spans: list[Span]) -> Span:
    """A power of two changes the exponent alone; other factors follow an activation alone.

    Behind an activation the product is one that IEEE 754 rounds in one way, and which is rounded
    next. Right behind a sum a runtime would multiply the weights instead.
    """
    (span,) = spans
    factors, maker = graph.weight(node.input[1]), graph.maker(node.input[0])
    if maker is not None and maker.op_type in ACTIVATIONS and factors is not None:
        least, most = float(factors.min()), float(factors.max())
        if least <= 0:
            raise VariantRefused(f"Mul ({node.name}) is by {least:g}, which is not above 0")
        return Span(0.0, span.low * most, span.high * most)
    by = float(_only(graph, node, 1))
    if by <= 0 or math.frexp(by)[0] != 0.5:
        raise VariantRefused(f"Mul ({node.name}) is by {by:g}, which is no power of two")
    return Span(span.step * by, span.low * by, span.high * by)


def _active(_graph: Graph, node: onnx.NodeProto, spans: list[Span]) -> Span:
    """One product of a value, which IEEE 754 rounds in one way, and which is rounded next."""
    (span,) = spans
    alpha = attributes(node).get("alpha", 0.01) if node.op_type == "LeakyRelu" else 0.0
    if not 0 <= alpha <= 1:
        raise VariantRefused(f"LeakyRelu ({node.name}) has the slope {alpha:g}")
    return Span(0.0 if alpha else span.step, alpha * min(span.low, 0.0), max(span.high, 0.0))


def _index(_graph: Graph, node: onnx.NodeProto, spans: list[Span]) -> Span:
    (span,) = spans
    if attributes(node)["to"] != TensorProto.INT32 or not math.isfinite(span.high - span.low):
        raise VariantRefused(f"Cast ({node.name}) is to no index")
    return Span(1.0, math.floor(span.low), math.ceil(span.high))


def _looked_up(graph: Graph, node: onnx.NodeProto, spans: list[Span]) -> Span:
    table, (span,) = graph.weight(node.input[0]), spans
    if table is None or span.step != 1.0 or span.low < 0 or span.high > len(table) - 1:
        raise VariantRefused(f"Gather ({node.name}) may look beyond its table")
    return Span(1.0, float(table.min()), float(table.max()))


def _only(graph: Graph, node: onnx.NodeProto, place: int) -> Weight:
    value = graph.weight(node.input[place]) if len(node.input) > place else None
    if value is None or value.size != 1:
        raise VariantRefused(f"{node.op_type} ({node.name}) has no constant where one was wanted")
    return value.reshape(())


RULES: dict[str, Callable[[Graph, onnx.NodeProto, list[Span]], Span]] = {
    "Cast": _index,
    "Clip": _clipped,
    "Gather": _looked_up,
    "LeakyRelu": _active,
    "Mul": _scaled,
    "Relu": _active,
    "Round": _rounded,
}
