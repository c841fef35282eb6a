"""Times ``session.run`` alone beside products of large matrices: ``make peak``.

Both are done by the peers' session of ONNX Runtime: the same provider, precision and threads. The
products are the most that the processors can do in it; so the share of it tells how far the
model's own shapes keep inference from that. Rounds take turns, and the medians count.

    python -m loadtests.peak --save loadtests/results/2-cpus-epyc-avx512-peak.json
"""

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from loadtests.peers.drawing import GRAPH, LATENT_DIM, MAX_BATCH_SIZE, opened, session_on
from loadtests.readings import save

SIDE = 2048
"""The rows and columns of the matrices."""
PRODUCTS = 4
"""The products in one run, so that what a run costs beside them is nothing."""


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.peak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each part (3)")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    found = measured(args.rounds, args.seconds)
    print(json.dumps(found, indent=1))
    if args.save:
        command = shlex.join(["python", "-m", "loadtests.peak", *(argv or sys.argv[1:])])
        save(args.save, command, found)
    return 0


def measured(rounds: int, seconds: float) -> dict[str, Any]:
    """Return the medians of the images a second and of the peak, and what an image takes."""
    generator, products = opened(), session_on(matrices(SIDE).SerializeToString())
    draw = _runs(generator, np.zeros((MAX_BATCH_SIZE, LATENT_DIM), np.float32))
    multiply = _runs(products, np.ones((SIDE, SIDE), np.float32))
    rates = [(_rate(draw, seconds), _rate(multiply, seconds)) for _ in range(rounds)]
    gflop = PRODUCTS * 2 * SIDE**3 / 1e9
    return {
        "plan": generator.get_providers()[0].removesuffix("ExecutionProvider"),
        "rows": MAX_BATCH_SIZE,
        "images_per_s": median(drawn for drawn, _ in rates) * MAX_BATCH_SIZE,
        "image_mflop": operations(onnx.load(GRAPH)) / 1e6,
        "peak_gflops": median(multiplied for _, multiplied in rates) * gflop,
        "rounds": rates,
    }


def _runs(session: Any, rows: np.ndarray[Any, Any]) -> Callable[[], object]:
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: rows})


def _rate(run: Callable[[], object], seconds: float) -> float:
    """Return how often a second ``run`` runs, once it is warm."""
    run()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        run()
        count += 1
    return count / (time.perf_counter() - began)


def matrices(side: int) -> onnx.ModelProto:
    """Return a graph that multiplies float32 [side, side] by such matrices, one after the other."""
    weight = np.random.default_rng(7).standard_normal((side, side), np.float32) / math.sqrt(side)
    names = ["rows", *(f"product.{number}" for number in range(PRODUCTS))]
    nodes = [
        helper.make_node("MatMul", [before, f"weight.{number}"], [after])
        for number, (before, after) in enumerate(pairwise(names))
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side])
        for name in (names[0], names[-1])
    ]
    weights = [numpy_helper.from_array(weight, f"weight.{number}") for number in range(PRODUCTS)]
    graph = helper.make_graph(nodes, "matrices", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def operations(model: onnx.ModelProto) -> int:
    """Return the multiplications and additions of the convolutions and products for one image."""
    graph = shape_inference.infer_shapes(model).graph
    weights = {each.name: list(each.dims) for each in graph.initializer}
    shapes = {  # of one image
        each.name: [size.dim_value for size in each.type.tensor_type.shape.dim[1:]]
        for each in (*graph.input, *graph.value_info, *graph.output)
    }
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":  # the weight is [outputs, inputs of one output, rows, columns]
            total += 2 * math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += 2 * math.prod(shapes[node.input[0]]) * shapes[node.output[0]][-1]
    return total


if __name__ == "__main__":
    sys.exit(main())
