"""The exact graph, written layer by layer from the float graph."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from export.convert import LATENTS
from export.probes import LARGEST
from export.rewrites.graph import attributes
from export.variants.exact.calibration import Calibration
from export.variants.exact.layers import POINTWISE, Layer, Network
from export.variants.exact.nodes import Nodes
from export.variants.exact.scales import Scales
from export.variants.exact.sums import (
    Digit,
    Moments,
    Term,
    Value,
    bias_of,
    constant,
    groups_of,
    terms_of,
)
from export.variants.exact.table import Table
from export.variants.exact.whole import SLACK, Matrix, fitting, sizes_of, to_whole

LATENT_BITS = 10
"""The binary digits of a latent after the point."""
HALF = 2.0**5
"""The worth of a step of a latent's coarse half, in steps of its fine half."""
LOWEST = -0.28
"""The lowest value of an activation, by the highest; a LeakyRelu's negative values are small."""
FINE = 4.0
"""The steps of a part of a sum, at least, in a step of the activation. A part is rounded to one."""
LAST_FINER = 2
"""The factor by which activations are finer that the last layer reads: its errors show the most,
and it has few products."""


@dataclass(frozen=True)
class Fineness:
    """How the room of a sum is shared: finer or wider activations leave weights less of it."""

    highest: int
    """The largest whole number of an activation; of those that the last layer reads, see
    ``LAST_FINER``."""
    margin: float
    """The factor by which ranges are wider than on the seeds of the calibration."""
    busiest: float
    """That factor for what the layer with most of the products reads, which is split the least."""


class Builder:
    """Writes the exact graph of ``network``, of which each layer is split as ``splits`` says.

    ``busiest`` are the tensors that the layer with most of the products reads.
    """

    def __init__(
        self,
        network: Network,
        calibration: Calibration,
        table: Table,
        splits: Mapping[str, int],
        busiest: Iterable[str],
        fineness: Fineness,
    ) -> None:
        self._network, self._table = network, table
        self._splits, self._fineness = splits, fineness
        self._nodes = Nodes()
        self._moments = Moments(calibration)
        latent_dim = calibration.values(LATENTS).shape[1]
        self._scales = Scales(network, LATENTS, latent_dim)
        self._of_latents = {int(label) for label in self._scales.of(LATENTS)}
        self._ranges = calibration.ranges(network, self._scales, fineness.highest)
        self._busiest = {int(label) for name in busiest for label in self._scales.of(name)}
        read_last = [part.input[0] for part in network.layers[-1].parts]
        self._last = {int(label) for name in read_last for label in self._scales.of(name)}
        self._values = {LATENTS: self._latents(latent_dim)}
        self.sums = 0
        """The number of sums that were written, those of all channels counted once."""

    def build(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return the exact graph of ``model``, the float graph that the network was read from."""
        for step in self._network.steps():
            if not isinstance(step, Layer):
                self._move(step)
            elif step is self._network.layers[-1]:
                self._look_up(self._last_sums(step))
            else:
                self._layer(step)
        return self._nodes.model(model)

    def _latents(self, latent_dim: int) -> Value:
        """Return the latents in two halves: whole numbers of few bits leave weights more bits."""
        add, steps, half = self._nodes.add, 2.0**LATENT_BITS, HALF / 2
        most = float(np.ceil(LARGEST * steps))
        name = self._nodes.scale(LATENTS, steps, "latents.scaled")
        name = add("Round", [name], "latents.rounded")
        whole = self._nodes.clip(name, -most, most, "latents.whole")
        name = self._nodes.scale(whole, 1 / HALF, "latents.coarse")
        high = add("Round", [name], "latents.high")
        name = self._nodes.scale(high, HALF, "latents.high.steps")
        name = add("Sub", [whole, name], "latents.rest")
        low = self._nodes.clip(name, -half, half, "latents.low")  # where the rest is already
        top = float(np.rint(most / HALF))
        digits = [Digit(high, HALF, -top, top), Digit(low, 1.0, -half, half)]
        return Value(digits, np.full(latent_dim, 1 / steps))

    def _scale(self, tensor: str) -> Matrix:
        """Return the scale of each channel of ``tensor``, which is that of its set of channels."""
        return np.array([self._step(int(label)) for label in self._scales.of(tensor)])

    def _step(self, label: int) -> float:
        """Return the real value of a step in the channels with ``label``."""
        if label in self._of_latents:
            return 2.0**-LATENT_BITS
        fineness = self._fineness
        wider = fineness.busiest if label in self._busiest else fineness.margin
        return self._ranges[label] * wider / self._highest(label)

    def _highest(self, label: int) -> int:
        """Return the largest whole number in the channels with ``label``."""
        highest = self._fineness.highest
        return LAST_FINER * highest + 1 if label in self._last else highest

    def _move(self, node: onnx.NodeProto) -> None:
        """Write a mover, once for each digit of what it moves."""
        digits = []
        moved = {name: self._values[name] for name in node.input if name in self._values}
        for place in range(min(len(value.digits) for value in moved.values())):
            mine = {name: value.digits[place] for name, value in moved.items()}
            names = {name: digit.name for name, digit in mine.items()}
            output = self._moved(node, names, f"{node.output[0]}.{place}")
            low, high = min(x.low for x in mine.values()), max(x.high for x in mine.values())
            digits.append(Digit(output, next(iter(mine.values())).worth, low, high))
        self._values[node.output[0]] = Value(digits, self._scale(node.output[0]))

    def _moved(self, node: onnx.NodeProto, names: Mapping[str, str], output: str) -> str:
        inputs = [
            names[name]
            if name in names
            else self._nodes.keep(name, constant(self._network.graph, node, place))
            for place, name in enumerate(node.input)
        ]
        return self._nodes.add(node.op_type, inputs, output, **attributes(node))

    def _layer(self, layer: Layer) -> None:
        """Write the sums of a layer, its activation, and what makes that whole again."""
        terms = self._terms(layer)
        scale = self._scale(layer.output)
        bias = bias_of(self._network.graph, layer, len(scale))
        fine = self._finest(layer, terms, scale, bias)
        name = self._add_up(layer, terms, scale / fine, bias * (fine / scale))
        high = float(self._highest(int(self._scales.of(layer.output)[0])))
        relu = False
        if layer.activation is not None:
            relu = layer.activation.op_type == "Relu"
            facts = attributes(layer.activation)
            name = self._nodes.add(
                layer.activation.op_type, [name], f"{layer.output}.active", **facts
            )
        if (fine != 1.0).any():
            each = (1 / fine).astype(np.float32)
            each = each if layer.parts[0].op_type == "Gemm" else each[:, None, None]
            name = self._nodes.scale_channels(name, each, f"{layer.output}.steps")
        name = self._nodes.add("Round", [name], f"{layer.output}.rounded")
        low = 0.0 if relu else float(np.ceil(LOWEST * high))
        name = self._nodes.clip(name, low, high, f"{layer.output}.whole")
        self._values[layer.output] = Value([Digit(name, 1.0, low, high)], scale)

    def _finest(self, layer: Layer, terms: list[Term], scale: Matrix, bias: Matrix) -> Matrix:
        """Return into how many steps of a sum a step of the activation is divided, [channels].

        A step of the weights is a power of two in steps of the sum. So the steps are chosen with
        which the largest sums come next to what float32 holds.
        """
        least = FINE if len(terms) > 1 else 1.0
        if layer.activation is None:
            return np.full(len(scale), least)
        weights = np.concatenate([term.columns(scale) for term in terms], axis=1)
        start = np.zeros((len(scale), len(terms)))
        start[:, 0] = bias / scale
        return fitting(sizes_of(weights * SLACK, start, groups_of(terms)), least)

    def _last_sums(self, layer: Layer) -> str:
        """Write the last sums, in steps of the table, whose indices they are."""
        unit = np.full(len(self._scales.of(layer.output)), self._table.step)
        bias = bias_of(self._network.graph, layer, len(unit)) - self._table.low
        name = self._add_up(layer, self._terms(layer), unit, bias / unit)
        return self._nodes.add("Round", [name], f"{layer.output}.place")

    def _terms(self, layer: Layer) -> list[Term]:
        split = self._splits.get(layer.output, 1)
        return terms_of(self._network.graph, layer, self._values, split)

    def _add_up(self, layer: Layer, terms: list[Term], unit: Matrix, bias: Matrix) -> str:
        """Write the sum of ``terms`` and ``bias``, in steps of ``unit``, and return its name.

        Several terms are rounded before they are added.
        """
        groups = groups_of(terms)
        weights = np.concatenate([term.columns(unit) for term in terms], axis=1)
        start = np.zeros((len(unit), len(terms)))
        start[:, 0] = bias
        rounded, steps = to_whole(weights, start, groups, self._moments.of(terms))
        start = np.rint(start / steps) * steps
        sums = [
            self._sum(term, rounded[:, own], start[:, place], f"{layer.output}.part{place}")
            for place, (term, (own, _, _)) in enumerate(zip(terms, groups, strict=True))
        ]
        self.sums += len(sums)
        if len(sums) == 1:
            return sums[0]
        whole = [self._nodes.add("Round", [name], f"{name}.whole") for name in sums]
        name = whole[0]
        for place, other in enumerate(whole[1:]):
            name = self._nodes.add("Add", [name, other], f"{layer.output}.sum{place}")
        return name

    def _sum(self, term: Term, weights: Matrix, bias: Matrix, output: str) -> str:
        name = term.digit.name
        if term.channels.stop - term.channels.start < len(term.value.scale):
            name = self._nodes.part(name, term.channels)
        shaped = weights.reshape(len(weights), -1, *term.taps)
        shaped = shaped.T if term.part.op_type == "Gemm" else shaped
        inputs = [name, self._nodes.keep(f"{output}.weight", shaped.astype(np.float32))]
        if bias.any():
            inputs.append(self._nodes.keep(f"{output}.bias", bias.astype(np.float32)))
        return self._nodes.add(term.part.op_type, inputs, output, **attributes(term.part))

    def _look_up(self, name: str) -> None:
        """Write what follows the last sums: movers, and the table where functions were."""
        tail = self._network.tail
        first = next((i for i, x in enumerate(tail) if x.op_type in POINTWISE), len(tail))
        for node in tail[:first]:
            name = self._moved(node, {node.input[0]: name}, f"{node.output[0]}.sums")
        entries = self._nodes.keep("table", self._table.entries)
        last = float(len(self._table.entries) - 1)
        name = self._nodes.clip(name, 0.0, last, "table.place")
        name = self._nodes.add("Cast", [name], "table.index", to=TensorProto.INT32)
        name = self._nodes.add("Gather", [entries, name], "table.bytes")
        for node in tail[first:]:
            if node.op_type not in POINTWISE:
                name = self._moved(node, {node.input[0]: name}, f"{node.output[0]}.bytes")
