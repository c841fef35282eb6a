"""The proof of the gradient's graph: it gives what TensorFlow, or a difference in float64, gives.

Every latent of every row counts: a gradient is compared as a whole with TensorFlow's, and along
random directions, which have a part of every latent, with differences.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from export.convert import LATENTS
from export.errors import ParityFailed
from export.gradient.build import COTANGENTS, GRADIENT
from export.head import IMAGES_FLOAT
from export.probes import golden_seeds
from export.rows import RowFacts

Floats = NDArray[np.float32]
Vjp = Callable[[Floats, Floats], Floats]
"""The function from latents [n, latent_dim] and cotangents [n, H, W, C] to the gradient
[n, latent_dim], all float32."""

MOST_OFF = 2e-3
"""The most by which a row's gradient may be off, as a part of its length. A value near a bend of a
leaky ReLU may be on its other side in another order of sums, which moves a gradient more than
rounding does."""
MOST_IMAGES_OFF = 2e-5
"""The most by which an image may be off that of the graph of float images, of [-1, 1]."""
STEP = 1e-6
"""The step of differences in float64, relative to latents of length one."""
ROWS, DIRECTIONS = 4, 4
"""The latents whose differences are taken, and the directions for each."""


def prove_by_tensorflow(
    path: Path, floats: onnx.ModelProto, facts: RowFacts, vjp: Vjp
) -> dict[str, Any]:
    """Return what was measured of the graph at ``path`` against TensorFlow's gradient ``vjp``.

    Raises:
        ParityFailed: it gives another gradient, or other images than ``floats``.
    """
    rows = facts.of(golden_seeds())
    cotangents = _cotangents(rows, floats)
    found = _run(path, rows, cotangents, floats)
    wanted = vjp(rows, cotangents).astype(np.float64)
    off = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return _checked(off, "TensorFlow's gradient")


def prove_by_differences(path: Path, floats: onnx.ModelProto, facts: RowFacts) -> dict[str, Any]:
    """Return what was measured of the graph at ``path`` against differences in float64.

    Raises:
        ParityFailed: it gives another gradient, or other images than ``floats``.
    """
    rows = facts.of(golden_seeds()[-ROWS:])
    cotangents = _cotangents(rows, floats)
    found = _run(path, rows, cotangents, floats)
    draw = in_float64(floats)
    chance = np.random.default_rng(1)
    off = []
    for _ in range(DIRECTIONS):
        ways = chance.standard_normal(rows.shape)
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        apart = draw(rows + STEP * ways) - draw(rows - STEP * ways)
        wanted = (apart * cotangents).sum(axis=(1, 2, 3)) / (2 * STEP)
        along = (found * ways).sum(axis=1)
        length_along = np.linalg.norm(found, axis=1) / np.sqrt(facts.latent_dim)
        off.append(np.abs(along - wanted) / length_along)
    return _checked(np.max(off, axis=0), "differences in float64")


def in_float64(floats: onnx.ModelProto) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the generator ``floats`` as a function in float64, by ONNX's reference in NumPy."""
    model = onnx.ModelProto()
    model.CopyFrom(floats)
    graph = model.graph
    del graph.value_info[:]
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(weight).astype(np.float64)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        if node.op_type == "Cast":
            raise ValueError(f"{node.name} casts: differences would be those of its type")
    del graph.output[1:]
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import))

    def draw(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn: Any = evaluator.run(None, {LATENTS: rows})
        images: NDArray[np.float64] = drawn[0]
        return images

    return draw


def _cotangents(rows: Floats, floats: onnx.ModelProto) -> Floats:
    shape = [d.dim_value for d in floats.graph.output[0].type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(0).standard_normal((len(rows), *shape), np.float32)


def _run(path: Path, rows: Floats, cotangents: Floats, floats: onnx.ModelProto) -> Floats:
    """Return the gradient by ONNX Runtime, whose images are checked too."""
    cpu = ["CPUExecutionProvider"]
    session = ort.InferenceSession(str(path), providers=cpu)
    feeds = {LATENTS: rows, COTANGENTS: cotangents}
    found: Floats
    found, images = session.run([GRADIENT, IMAGES_FLOAT], feeds)
    plain = ort.InferenceSession(floats.SerializeToString(), providers=cpu)
    off = float(np.abs(images - plain.run(None, {LATENTS: rows})[0]).max())
    if not off <= MOST_IMAGES_OFF:
        raise ParityFailed([f"the gradient's graph: its images are off by {off:.2g}"])
    return found


def _checked(off: NDArray[np.float64], against: str) -> dict[str, Any]:
    worst = int(np.argmax(off))
    if not off[worst] <= MOST_OFF:  # which NaN is not either
        told = f"row {worst} is off {against} by {off[worst]:.2g} of its length"
        raise ParityFailed([f"the gradient's graph: {told}"])
    return {"against": against, "rows": len(off), "largest_difference": float(off[worst])}
