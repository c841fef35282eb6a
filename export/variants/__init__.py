"""The graph in other precisions: each is tried, and shipped only with evidence for it.

A candidate has to draw the same images within its tolerances, on every provider at hand that can
run it, and to be faster than what would serve instead wherever it could be measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from export.variants.half import float16
from export.variants.quantize import int8
from server.runtime.plans import Plan

Build = Callable[[onnx.ModelProto, int, Path], tuple[onnx.ModelProto, str]]
"""Converted graph with float images, latent_dim and scratch folder to the graph that serves, uint8
head included, and in words what was done."""


@dataclass(frozen=True)
class Candidate:
    """A precision that may be worth shipping."""

    name: str
    """Of the variant in the manifest."""
    precision: str
    build: Build
    meant_for: tuple[Plan, ...]
    """The plans that would serve it."""
    proven_on: tuple[Plan, ...] = ()
    """Others that can run the graph, slowly, with the same roundings: parity without the device."""


CANDIDATES = (
    Candidate(
        "fp16",
        "float16",
        lambda floats, _dim, _scratch: (float16(floats), "all but the last activation in float16"),
        meant_for=(Plan("cuda", "f16"),),
        proven_on=(Plan("cpu", "f16"),),
    ),
    Candidate(
        "int8",
        "int8",
        int8,
        meant_for=(Plan("openvino", "int8"), Plan("cpu", "int8")),
    ),
)
