"""The proof that an exact graph draws the same bytes, whoever runs it and how."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from export.batches import run_in_batches
from export.convert import LATENTS
from export.report import Report
from server.runtime.plans import Plan
from server.runtime.session import Session

ROWS = 65
"""The latents that every way of running the graph draws, beside the plans, which draw all."""
REFERENCE_ROWS = 3
"""The latents that ONNX's own evaluator draws, which takes seconds for each."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def other_bytes(model: Path, report: Report, threads: int) -> Iterator[str]:
    """Yield a text for each way to run ``model`` that gives other bytes than the first plan does.

    The plans of ``report`` have drawn every probe in many batch sizes. Here they are held against
    each other; and on some of the probes, ONNX Runtime with and without its optimisations, other
    numbers of threads, and ONNX's own evaluator are held against them.
    """
    drawn = [parity for parity in report.plans if parity.images is not None]
    if not drawn or drawn[0].images is None:
        yield "no plan drew anything"
        return
    wanted = drawn[0].images
    latents = np.concatenate([probe.latents for probe in report.probes])
    for parity in drawn:
        if parity.batch_dependent:
            yield f"{parity.label}: {parity.batch_dependent[0]}"
        if parity.images is not None:
            yield from _changed(parity.label, parity.images, wanted)
    some = np.linspace(0, len(latents) - 1, ROWS).astype(int)
    for name, draw, rows in _ways(model, [parity.plan for parity in drawn], threads):
        chosen = some[:rows]
        yield from _changed(name, draw(latents[chosen]), wanted[chosen])


def _ways(
    model: Path, plans: list[Plan], threads: int
) -> Iterator[tuple[str, Callable[[Floats], Bytes], int]]:
    """Yield the name of each way to run ``model``, a function that does so, and how many rows."""
    levels = ort.GraphOptimizationLevel
    for name, level in (("no", levels.ORT_DISABLE_ALL), ("basic", levels.ORT_ENABLE_BASIC)):
        yield f"cpu with {name} optimisations", _without(model, level), ROWS
    for plan in plans:
        for count in {1, threads + 1} - {threads}:
            session = Session(model, plan, count)
            yield f"{plan} on {count} threads", partial(run_in_batches, session, size=8), ROWS
    yield "ONNX's evaluator", partial(_evaluated, model), REFERENCE_ROWS


def _evaluated(model: Path, latents: Floats) -> Bytes:
    (images,) = ReferenceEvaluator(onnx.load(str(model))).run(None, {LATENTS: latents})
    return np.asarray(images)


def _without(model: Path, level: ort.GraphOptimizationLevel) -> Callable[[Floats], Bytes]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = level
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda latents: session.run(None, {LATENTS: latents})[0]


def _changed(name: str, images: Bytes, wanted: Bytes) -> Iterator[str]:
    if images.shape != wanted.shape or images.dtype != wanted.dtype:
        yield f"{name}: draws {images.dtype} {images.shape}"
    elif changed := int((images != wanted).reshape(len(images), -1).any(axis=1).sum()):
        yield f"{name}: {changed} of {len(images)} images are other bytes"
