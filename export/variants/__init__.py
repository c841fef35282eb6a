"""The graph in other precisions, each of which is tried, and shipped only with evidence for it.

A candidate has to draw the same images within its tolerances, on every available provider that can
run it. It also has to be faster than the plan that would serve instead, wherever it was measured.
The exact one need not be: it has to draw the same bytes, however it is run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from export.rows import RowFacts
from export.variants.exact import exact_graph
from export.variants.half import float16
from export.variants.quantize import int8
from server.runtime.plans import Plan

Build = Callable[[onnx.ModelProto, RowFacts, Path], tuple[onnx.ModelProto, str]]
"""The function that builds a candidate. It takes the converted graph with float images, the facts
by which seeds become its rows, and a directory for temporary files. It returns the graph that
serves, uint8 head included, and a text that says what was done."""


@dataclass(frozen=True)
class Candidate:
    """A precision that may be worth shipping."""

    name: str
    """The name of the variant in the manifest."""
    precision: str
    build: Build
    meant_for: tuple[Plan, ...]
    """The plans that would serve the candidate."""
    proven_on: tuple[Plan, ...] = ()
    """The plans that run the graph with the same roundings, slowly, where the device is missing."""
    same_bytes: bool = False
    """Whether it is shipped for bytes that are the same everywhere, and not for its speed."""


CANDIDATES = (
    Candidate(
        "fp16",
        "float16",
        lambda floats, *_: (float16(floats), "all but the last activation in float16"),
        meant_for=(Plan("cuda", "f16"),),
        proven_on=(Plan("cpu", "f16"),),
    ),
    Candidate(
        "int8",
        "int8",
        int8,
        meant_for=(Plan("openvino", "int8"), Plan("cpu", "int8")),
    ),
    Candidate(
        "exact",
        "float32",
        exact_graph,
        meant_for=(Plan("openvino", "exact"), Plan("cpu", "exact")),
        same_bytes=True,
    ),
)
