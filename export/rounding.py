"""The rounding of a network: how far float32 by itself moves the network's images.

Every sum in float32 is off by about half a unit in the last place of the sum of its terms' sizes,
and two runtimes that add in another order are off differently. What becomes of such errors on their
way to the images depends on the network: large sums, many layers and normalisations make them
larger. They are planted here at random, into every value of the converter's graph, in the size that
this value's own terms say; the largest movement of an image is the network's rounding. A fault in
the graph is not an error of that size, and so has no part in the measure.

Source: D. S. Parker, "Monte Carlo Arithmetic", UCLA technical report CSD-970002, 1997.
"""

from math import prod

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.convert import IMAGES, dims
from export.errors import PLAIN, ConversionFailed, first_line
from export.probes import Probe, kinds
from export.rows import feeds

ROWS, LEAST_ROWS, VALUES = 32, 8, 2**21
"""The rows of each kind of latents that are drawn, taken evenly from all: the most, the least, and
the values of their images between."""
BATCH = 4
UNIT = 2.0**-24
"""The relative error of one rounding to float32, at most."""
SUMS = {
    "AveragePool", "Conv", "ConvTranspose", "Einsum", "Gemm", "GlobalAveragePool", "MatMul",
    "ReduceMean", "ReduceSum",
}  # fmt: skip
"""The operators whose results may be far smaller than the terms that they add up."""


def rounding(floats: onnx.ModelProto, probes: list[Probe]) -> dict[str, float]:
    """Return the rounding of the converter's graph ``floats`` by kind of latents.

    It is the largest movement of a value of its images, which are in [-1, 1]; infinity where the
    images are no numbers.

    Raises:
        ConversionFailed: ONNX Runtime cannot run the graph.
    """
    try:
        return _rounding(floats, probes)
    except Exception as error:  # ONNX Runtime's have no base class
        raise ConversionFailed(
            f"ONNX Runtime cannot run the converted graph ({first_line(error)}); {PLAIN}"
        ) from error


def _rounding(floats: onnx.ModelProto, probes: list[Probe]) -> dict[str, float]:
    size = prod(x for x in dims(floats.graph.output[0])[1:] if isinstance(x, int))
    most = max(LEAST_ROWS, min(ROWS, VALUES // size))
    graphs = (floats, with_errors(floats))
    still, moved = (_session(graph) for graph in graphs)
    latents = np.concatenate([probe.latents for probe in probes])
    found = {}
    for kind, rows in kinds(probes):
        some = latents[rows[:: -(-len(rows) // most)]]
        found[kind] = max(
            _largest(_draw(still, part) - _draw(moved, part))
            for part in np.array_split(some, -(-len(some) // BATCH))
        )
    return found


def with_errors(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with a random error in each float, in the size of one rounding of its sum.

    The errors have a normal distribution, and are the same in every session.
    """
    altered = onnx.ModelProto()
    altered.CopyFrom(model)
    graph = altered.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    floats = {x.name for x in values if x.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats |= {x.name for x in graph.initializer if x.data_type == TensorProto.FLOAT}
    nodes = []
    for node in model.graph.node:
        name = node.output[0]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        nodes.append(copy)
        if name in floats:
            copy.output[0] = f"{name}.exact"
            nodes += _error(copy, name, floats, seed=len(nodes))
    for name, value in (("unit", UNIT), ("largest", np.finfo(np.float32).max)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return altered


def _error(node: onnx.NodeProto, name: str, floats: set[str], seed: int) -> list[onnx.NodeProto]:
    """Return the nodes that make the tensor ``name`` of what ``node`` makes."""
    exact, size = node.output[0], f"{name}.size"
    make, nodes = helper.make_node, []
    if node.op_type in SUMS:
        sizes = onnx.NodeProto()
        sizes.CopyFrom(node)
        sizes.name, sizes.output[:] = size, [size]
        for i, wanted in enumerate(node.input):
            if wanted in floats:
                sizes.input[i] = f"{size}{i}"
                nodes.append(make("Abs", [wanted], [sizes.input[i]]))
        nodes.append(sizes)
    else:
        nodes.append(make("Abs", [exact], [size]))
    return [
        *nodes,
        make("RandomNormalLike", [exact], [f"{name}.random"], seed=float(seed)),
        make("Mul", [f"{name}.random", "unit"], [f"{name}.relative"]),
        make("Min", [size, "largest"], [f"{size}.finite"]),  # infinity stays what it is
        make("Mul", [f"{name}.relative", f"{size}.finite"], [f"{name}.error"]),
        make("Add", [exact, f"{name}.error"], [name]),
    ]


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _draw(session: ort.InferenceSession, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    images: NDArray[np.float32] = session.run([IMAGES], feeds(session.get_inputs(), latents))[0]
    return images


def _largest(moved: NDArray[np.float32]) -> float:
    return float(np.nan_to_num(np.abs(moved), nan=np.inf).max())
