"""The variant in int8, for processors without bfloat16: the convolutions that tolerances allow.

Weights and activations of a convolution become eight bits, with a scale for every channel of the
weights and one for each tensor of activations, from its range on latents of seeds. Each convolution
is tried alone first; those with the smallest differences are then quantised together, as many as
stay within the limits. The first layer, on the latents, is left as it is: it is cheap, and its
rounding hurts most.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.convert import dims
from export.differences import Difference, compare, exceeded
from export.errors import VariantRefused
from export.head import add_head
from export.rewrites import rewrite
from export.rows import RowFacts, Rows, feeds
from export.tolerances import INT8
from server.runtime.session import most_rows

CALIBRATION_SEEDS = range(10_000, 10_256)
"""The seeds of the images whose activations give the ranges."""
TRIAL_SEEDS = range(20_000, 20_256)
"""The seeds of the other images, on which the differences are measured."""
ROWS, VALUES = 32, 2**24
"""The latents in a run, and the values of all images of a trial, at most: they bound the memory."""
LEAST_SEEDS = 16
"""The number of latents at least, however large the images are."""

Bytes = NDArray[np.uint8]


class Seeds(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration with the latents of seeds, and their classes."""

    def __init__(self, batches: Iterable[dict[str, NDArray[Any]]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)


class Quantizer:
    """Quantises some convolutions of one graph, and measures how its images change."""

    def __init__(self, served: onnx.ModelProto, facts: RowFacts, scratch: Path) -> None:
        self._served = served
        self._path = scratch / "int8.onnx"
        shape = dims(served.graph.output[0])[1:]
        values = prod(size for size in shape if isinstance(size, int))
        self._rows = min(ROWS, most_rows([values]))
        count = max(LEAST_SEEDS, VALUES // values)
        self._calibration = facts.of(CALIBRATION_SEEDS[:count])
        self._trial = facts.of(TRIAL_SEEDS[:count])
        self._wanted = self._draw(served.SerializeToString())

    def quantize(self, nodes: Sequence[str]) -> onnx.ModelProto:
        """Return the graph with the convolutions ``nodes``, by name, in int8."""
        logging.getLogger().addFilter(_QUIET)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                quantize_static(
                    self._copy(),
                    str(self._path),
                    Seeds(self._batches(self._calibration)),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    nodes_to_quantize=list(nodes),
                    op_types_to_quantize=["Conv"],
                )
        finally:
            logging.getLogger().removeFilter(_QUIET)
        return onnx.load(str(self._path))

    def damage(self, nodes: Sequence[str]) -> Difference:
        """Return the difference of the images with the convolutions ``nodes`` in int8."""
        return compare(self._draw(self.quantize(nodes).SerializeToString()), self._wanted)

    def _copy(self) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(self._served)  # quantize_static alters its argument
        return copy

    def _draw(self, model: bytes) -> Bytes:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, x)[0] for x in self._batches(self._trial)])

    def _batches(self, rows: Rows) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the inputs of the graph for ``rows``, a batch at a time."""
        for start in range(0, len(rows), self._rows):
            yield feeds(self._served.graph.input, rows[start : start + self._rows])


def int8(floats: onnx.ModelProto, facts: RowFacts, scratch: Path) -> tuple[onnx.ModelProto, str]:
    """Return the generator ``floats`` with convolutions in int8, and a text that names them.

    Ranges and differences are those of the rows that ``facts`` make of seeds.

    Raises:
        VariantRefused: there is no convolution, or none stays within the limits; the message has
            the best one.
    """
    served = add_head(rewrite(floats))
    convolutions = [node.name for node in served.graph.node if node.op_type == "Conv"]
    if not convolutions:
        raise VariantRefused("the graph has no convolutions, which alone are made int8")
    quantizer = Quantizer(served, facts, scratch)
    alone = {name: quantizer.damage([name]) for name in convolutions}
    gentlest = sorted(convolutions, key=lambda name: alone[name].mean_levels)
    chosen: list[str] = []
    for name in gentlest:
        if list(exceeded(quantizer.damage([*chosen, name]), INT8.ordinary)):
            break
        chosen.append(name)
    of = f"of {len(convolutions)} convolutions"
    if not chosen:
        least = f"{gentlest[0]}: {_told(alone[gentlest[0]])}"
        raise VariantRefused(f"none {of} stays within the limits in int8, the gentlest {least}")
    told = ", ".join(f"{name} ({_told(alone[name])})" for name in gentlest)
    return quantizer.quantize(chosen), f"{len(chosen)} {of} in int8; each alone: {told}"


def _told(found: Difference) -> str:
    return f"{found.levels} levels, mean {found.mean_levels:.2f}"


class _Quiet(logging.Filter):
    """Drops the advice to preprocess the graph, whose shapes are inferred already."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "pre-process" not in record.getMessage()


_QUIET = _Quiet()
