"""What the float graph computes for some seeds: the ranges of its tensors, and their patches."""

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.convert import LATENTS
from export.rewrites.graph import attributes
from export.rows import RowFacts
from export.variants.exact.layers import Network
from export.variants.exact.scales import Scales

FIRST_SEED = 10_000
ROWS = 32
"""The number of latents in a run."""
MOST_VALUES = 2**27
"""The number of values that are kept, which bounds the memory; 128 seeds at most."""
MOST_SEEDS = 256
SAMPLES = 6144
"""The number of patches whose products are averaged."""
WIDEST = np.exp2(np.arange(4, 36) / 4)
"""The ranges that are tried, in root mean squares of a channel."""
CLIPPING = 100.0
"""The weight of what a range cuts off, against that of its steps. Cut values are rare and far off,
and the largest difference counts too."""

Floats = NDArray[np.float32]


class Calibration:
    """The values of some tensors of a float graph, for the latents of seeds."""

    def __init__(
        self,
        model: onnx.ModelProto,
        network: Network,
        facts: RowFacts,
        slope: Callable[[Floats], Floats],
    ) -> None:
        parts = [part.input[0] for layer in network.layers for part in layer.parts]
        names = dict.fromkeys([*parts, *(layer.output for layer in network.layers)])
        wanted = [name for name in names if name != LATENTS]
        exposed = onnx.ModelProto()
        exposed.CopyFrom(model)
        known = {value.name for value in model.graph.output}
        exposed.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in wanted if name not in known
        )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        each = sum(math.prod(int(x or 1) for x in network.graph.shape(n) or []) for n in wanted)
        seeds = min(MOST_SEEDS, max(ROWS, MOST_VALUES // max(1, each)))
        rows = facts.of(range(FIRST_SEED, FIRST_SEED + seeds))
        runs = [
            session.run(wanted, {LATENTS: rows[start : start + ROWS]})
            for start in range(0, seeds, ROWS)
        ]
        self._values = {
            name: np.concatenate([run[place] for run in runs]) for place, name in enumerate(wanted)
        }
        self._values[LATENTS] = rows
        self._slopes = np.square(slope(self._values[network.layers[-1].output]))

    def weights(self, name: str) -> Floats:
        """Return how much an error at each pixel of ``name`` shows, float32 [rows, height, width].

        Where a sum is far in the flat of a tanh, as in a white background, no error shows.
        """
        values = self._values[name]
        rows, sizes = len(values), values.shape[2:]
        slopes = self._slopes
        if len(sizes) != 2 or slopes.ndim != 4:
            return np.ones((rows, *sizes), np.float32)
        found = slopes.mean(axis=1)
        by = [size // own for size, own in zip(found.shape[1:], sizes, strict=True)]
        if any(own * n != size for own, n, size in zip(sizes, by, found.shape[1:], strict=True)):
            return np.ones((rows, *sizes), np.float32)
        found = found.reshape(rows, sizes[0], by[0], sizes[1], by[1]).mean(axis=(2, 4))
        around = np.pad(found, ((0, 0), (1, 1), (1, 1)), mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
        blurred = views.mean(axis=(3, 4)) + np.float32(1e-3) * slopes.mean()
        weights: Floats = blurred / blurred.mean()
        return weights

    def values(self, name: str) -> Floats:
        """Return the values of the tensor ``name``, float32 [rows, channels, ...]."""
        return self._values[name]

    def ranges(self, network: Network, scales: Scales, steps: int) -> dict[int, float]:
        """Return for each set of channels the range that is divided into ``steps``."""
        pools: dict[int, list[tuple[Floats, Floats]]] = {}
        for layer in network.layers[:-1]:
            found, shown = self._values[layer.output], self.weights(layer.output).ravel()
            for channel, label in enumerate(scales.of(layer.output)):
                pools.setdefault(int(label), []).append((found[:, channel].ravel(), shown))
        return {
            label: _range(
                np.concatenate([values for values, _ in pool]),
                np.concatenate([shown for _, shown in pool]),
                steps,
            )
            for label, pool in pools.items()
        }

    def patches(self, part: onnx.NodeProto, kernel: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Return the factors that ``part`` multiplies for one output, [samples, inputs * taps].

        They are multiplied by how much an error there shows.
        """
        values = self._values[part.input[0]]
        if part.op_type == "Gemm":
            return values, np.ones(len(values), np.float32)
        facts = attributes(part)
        top, left, bottom, right = facts.get("pads", [0] * 4)
        strides, spread = facts.get("strides", [1, 1]), facts.get("dilations", [1, 1])
        padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
        window = [(size - 1) * by + 1 for size, by in zip(kernel, spread, strict=True)]
        views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(2, 3))
        views = views[:, :, :: strides[0], :: strides[1], :: spread[0], :: spread[1]]
        rows, _, height, width = views.shape[:4]
        picked = np.random.default_rng(0).choice(
            rows * height * width, min(SAMPLES, rows * height * width), replace=False
        )
        row, y, x = np.unravel_index(np.sort(picked), (rows, height, width))
        found: Floats = views[row, :, y, x].reshape(len(row), -1)
        shown = self.weights(part.input[0])
        near = shown[
            row,
            (y * strides[0]).clip(max=shown.shape[1] - 1),
            (x * strides[1]).clip(max=shown.shape[2] - 1),
        ]
        return found, np.sqrt(near)


def _range(values: Floats, shown: Floats, steps: int) -> float:
    """Return the range with the least of two errors: of rounding within it, of cutting beyond."""
    sizes = np.abs(values.astype(np.float64))
    unit = math.sqrt(float((np.square(sizes) * shown).mean())) or 1.0
    far = sizes > unit * WIDEST[0]
    tail, weight = sizes[far], shown[far]
    errors = [
        CLIPPING * (np.square(np.maximum(tail - unit * wide, 0)) * weight).sum() / len(sizes)
        + (unit * wide / steps) ** 2 / 12
        for wide in WIDEST
    ]
    return unit * float(WIDEST[int(np.argmin(errors))])
