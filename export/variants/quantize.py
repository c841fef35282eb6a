"""The variant in int8, for processors without bfloat16: the convolutions that tolerances allow.

Weights and activations of a convolution become eight bits, with a scale for every channel of the
weights and one for each tensor of activations, from its range on latents of seeds. Each convolution
is tried alone first; those with the smallest differences are then quantised together, as many as
stay within the limits. The first layer, on the latents, is left as it is: it is cheap, and its
rounding hurts most.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

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

from export.convert import LATENTS
from export.differences import Difference, compare, exceeded
from export.errors import VariantRefused
from export.head import add_head
from export.rewrites import rewrite
from export.tolerances import INT8
from server.bundle.latents import latents

CALIBRATION_SEEDS = range(10_000, 10_256)
"""The seeds of the images whose activations give the ranges."""
TRIAL_SEEDS = range(20_000, 20_256)
"""The seeds of the other images, on which the differences are measured."""
ROWS = 32
"""The number of latents in a calibration run."""

Bytes = NDArray[np.uint8]


class Seeds(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration with latents of seeds."""

    def __init__(self, latent_dim: int) -> None:
        seeds = CALIBRATION_SEEDS
        self._batches = iter(
            [
                {LATENTS: latents(seeds[start : start + ROWS], latent_dim)}
                for start in range(0, len(seeds), ROWS)
            ]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)


class Quantizer:
    """Quantises some convolutions of one graph, and measures how its images change."""

    def __init__(self, served: onnx.ModelProto, latent_dim: int, scratch: Path) -> None:
        self._served = served
        self._latent_dim = latent_dim
        self._path = scratch / "int8.onnx"
        self._latents = latents(TRIAL_SEEDS, latent_dim)
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
                    Seeds(self._latent_dim),
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
        images: Bytes = session.run(None, {LATENTS: self._latents})[0]
        return images


def int8(floats: onnx.ModelProto, latent_dim: int, scratch: Path) -> tuple[onnx.ModelProto, str]:
    """Return the generator ``floats`` with convolutions in int8, and a text that names them.

    Raises:
        VariantRefused: no convolution stays within the limits; the message has the best one.
    """
    served = add_head(rewrite(floats))
    quantizer = Quantizer(served, latent_dim, scratch)
    convolutions = [node.name for node in served.graph.node if node.op_type == "Conv"]
    alone = {name: quantizer.damage([name]) for name in convolutions}
    gentlest = sorted(convolutions, key=lambda name: alone[name].mean_levels)
    chosen: list[str] = []
    for name in gentlest:
        if list(exceeded(quantizer.damage([*chosen, name]), INT8.ordinary)):
            break
        chosen.append(name)
    of = f"of {len(convolutions)} convolutions"
    if not chosen:
        least = f"{gentlest[0]}: {_told(alone[gentlest[0]])}" if gentlest else "there is none"
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
