"""The variant ``exact``, whose bytes are the same on every processor, provider and version.

In float32 a sum depends on the order of its terms, which differs by processor and by version. Here
every sum is one of whole numbers below 2^24, which float32 adds without rounding, in any order.

- Latents and activations are rounded to whole numbers of about twelve bits, with a scale for each
  channel, and clipped, so that none can be larger, whatever the latents are.
- Weights are whole numbers times powers of two, as fine as the sums allow. Their roundings make up
  for each other on the activations of some seeds; errors that a white background hides do not
  count.
- A layer's sum may be split by input channels: each part is rounded by itself, and finer. Large
  parts are made by themselves, so that nothing has to cut them out.
- The last sums are the index of a table of bytes, so no provider's tanh matters.

The operators are ordinary ones in float32, which run as fast as those of the graph they stand for.
Integer operators would be exact too, but need instructions that not every processor has, and not
all providers have them.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.canonical import canonical
from export.convert import LATENTS, finish
from export.differences import compare, exceeded
from export.errors import VariantRefused
from export.head import to_uint8
from export.rewrites import REWRITES, rewrite
from export.rewrites.graph import Graph
from export.rewrites.halves import halves
from export.rows import RowFacts
from export.tolerances import EXACT
from export.variants.exact.bounds import largest_sum
from export.variants.exact.build import Builder, Fineness
from export.variants.exact.calibration import Calibration
from export.variants.exact.cut import without_slices
from export.variants.exact.layers import Layer, Network, read_network
from export.variants.exact.table import make_table
from server.runtime.plans import EP_NAMES

FINENESSES = (Fineness(4095, 1.7, 1.5), Fineness(4095, 2.4, 2.2), Fineness(8191, 2.8, 2.8))
"""What is tried: the one with the nearest images is taken. Narrow layers have room for more."""
WANTED = replace(EXACT.ordinary, levels=EXACT.ordinary.levels - 2)
"""The limits on the seeds that choose: among more seeds one is further off."""
TRIAL_SEEDS = range(20_000, 22_048)
"""The seeds of the images that are compared, other ones than those of the calibration."""
ROWS = 64
BUSY = 0.4
"""The share of all products from which on a layer is split the least."""
PARTS = {BUSY: 2, 0.1: 4, 0.0: 8}
"""The numbers of parts of layers by the share of all products that they have at least: those that
are cheap may as well have many."""
LAST_PARTS = 4
"""The parts of each convolution that the last sums are made of: they are of few channels."""


def exact_graph(
    floats: onnx.ModelProto, facts: RowFacts, _scratch: Path
) -> tuple[onnx.ModelProto, str]:
    """Return the generator ``floats`` as an exact graph, and a text that says how it is bounded.

    Raises:
        VariantRefused: the generator takes a class, or an operator of it has no exact form; the
            message names it.
    """
    if facts.class_count:
        raise VariantRefused("a generator that takes a class has no exact form")
    model = rewrite(floats, [step for step in REWRITES if step is not halves])
    return from_rewritten(model, facts)


def from_rewritten(model: onnx.ModelProto, facts: RowFacts) -> tuple[onnx.ModelProto, str]:
    """Return the rewritten graph ``model``, with float images, as ``exact_graph`` does."""
    network = read_network(model)
    table = make_table(network.graph, network.tail)
    calibration = Calibration(model, network, facts, table.slope)
    rows = facts.of(TRIAL_SEEDS)
    wanted = to_uint8(_draw(model, rows))
    tried: list[tuple[int, float, int, onnx.ModelProto]] = []
    for fineness in FINENESSES:
        builder = Builder(network, calibration, table, splits(network), busiest(network), fineness)
        built = finish(canonical(without_slices(builder.build(model))))
        found = compare(_draw(built, rows), wanted)
        beyond = len(list(exceeded(found, WANTED)))
        tried.append((beyond, -found.psnr_db, len(tried), built))
    _, psnr, place, built = min(tried, key=lambda x: x[:3])
    return built, (
        f"{len(network.layers)} layers as {builder.sums} sums of whole numbers, none of which can "
        f"exceed {largest_sum(built):.3f} of 2^24; activations up to {FINENESSES[place].highest}, "
        f"ranges {FINENESSES[place].margin:g} times the calibration's; {-psnr:.1f} dB on other "
        f"seeds; a table of {len(table.entries)} bytes"
    )


def _draw(model: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=[EP_NAMES["cpu"]])
    starts = range(0, len(rows), ROWS)
    return np.concatenate([session.run(None, {LATENTS: rows[i : i + ROWS]})[0] for i in starts])


def shares(network: Network) -> dict[str, float]:
    """Return the share of all products that each layer has, by its output.

    The layers that read the same tensor, the phases of a transposed convolution, count together.
    """
    products = {layer.output: _products(network.graph, layer) for layer in network.layers}
    by_input: Counter[str] = Counter()
    for layer in network.layers:
        by_input[layer.parts[0].input[0]] += products[layer.output]
    total = by_input.total()
    return {x.output: by_input[x.parts[0].input[0]] / total for x in network.layers}


def splits(network: Network) -> dict[str, int]:
    """Return into how many sums each layer is split, by its output."""
    found = {}
    for layer, share in zip(network.layers, shares(network).values(), strict=True):
        parts = next(parts for least, parts in PARTS.items() if share >= least)
        found[layer.output] = max(1, parts // len(layer.parts))
        if layer is network.layers[-1] and share < BUSY:
            found[layer.output] = LAST_PARTS
    return found


def busiest(network: Network) -> set[str]:
    """Return the tensors that busy layers read."""
    held = shares(network)
    most = [layer for layer in network.layers if held[layer.output] >= BUSY]
    return {part.input[0] for layer in most for part in layer.parts}


def _products(graph: Graph, layer: Layer) -> int:
    """Return the number of products of one image in ``layer``."""
    count = 0
    for part in layer.parts:
        weight, shape = graph.weight(part.input[1]), graph.shape(part.output[0])
        if weight is None or shape is None:
            raise VariantRefused(f"{part.op_type} ({part.name}) has no fixed shape")
        pixels = [size or 1 for size in shape[2:]]
        count += weight.size * int(pixels[0] * pixels[1] if len(pixels) == 2 else 1)
    return count
