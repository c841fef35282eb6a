"""Directions of latents in which a generator's images change the most, found as in GANSpace.

The activations of the generator's first layer, over many seeds, have principal components; a
regression of the latents on these tells which way to move latents to move along each component.

Source: Haerkoenen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls", section 3.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.convert import LATENTS
from export.rewrites.graph import UNARY, Graph
from export.rewrites.halves import without_halves
from export.rows import RowFacts, feeds
from server.bundle.directions import Direction

COUNT = 8
"""The directions that an export keeps."""
MOST_LATENTS = 2048
"""The largest number of latents for which an export keeps any: they all stand in the manifest."""
SEEDS = 4096
"""The seeds whose activations are looked at."""
LEAST_CORRELATION = 0.5
"""The correlation of a component with the latents moved along it that makes it a direction."""
BLOCK, TURNS = 64, 8
"""The columns and the turns of the subspace iteration; more of either change the directions' fourth
digit."""
LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
ON_THE_WAY = {"Add", "BatchNormalization", "Mul", "Reshape", "Transpose"}
"""The operators that may stand between the first layer and its activation."""

Floats = NDArray[np.float32]


def find_directions(model: onnx.ModelProto, facts: RowFacts) -> list[Direction]:
    """Return the directions of a generator's float graph ``model``, the strongest first.

    Each has the length of one standard deviation of the latents, and no name that says anything
    yet. There are none where no layer is found that the latents go into.
    """
    graph = Graph(without_halves(model))
    name = first_activation(graph)
    if name is None or facts.latent_dim > MOST_LATENTS:
        return []
    rows = facts.of(range(SEEDS))
    if facts.class_count:
        rows[:, -1] = 0  # what a class changes is no direction of the latents
    found = directions_of(
        rows[:, : facts.latent_dim], _activations(_until(graph, name), name, rows)
    )
    return [
        Direction(f"direction {number}", [round(float(x), 5) for x in row])
        for number, row in enumerate(found, 1)
    ]


def first_activation(graph: Graph) -> str | None:
    """Return the name of the first layer's output, behind its activation if it has one."""
    rows = [LATENTS, *(x.output[0] for x in graph.users(LATENTS) if x.op_type == "Concat")]
    readers = [node for name in rows for node in graph.users(name)]
    while readers and readers[0].op_type in ON_THE_WAY:  # as Reshape before a convolution
        readers = graph.users(readers[0].output[0])
    node = next((x for x in readers if x.op_type in LAYERS), None)
    if node is None:
        return None
    layer = str(node.output[0])
    while node is not None and node.op_type not in UNARY:
        node = graph.only_user(node)
        if node is not None and node.op_type not in ON_THE_WAY | UNARY:
            return layer
    return str(node.output[0]) if node is not None else layer


def directions_of(latents: Floats, activations: Floats) -> Floats:
    """Return the directions float32 [COUNT or fewer, latent_dim], the strongest first.

    ``latents`` are float32 [N, latent_dim], ``activations`` what they become, float32 [N, units].
    """
    centred = activations - activations.mean(axis=0)
    ways = latents - latents.mean(axis=0)
    count = min(2 * COUNT, latents.shape[1], activations.shape[1])
    along = centred @ _components(centred, ways, count)
    moved = np.linalg.lstsq(along, ways, rcond=None)[0]
    moved = moved[[_follows(ways @ way, to) for way, to in zip(moved, along.T, strict=True)]]
    largest = moved[np.arange(len(moved)), np.abs(moved).argmax(axis=1)]
    length = np.sign(largest) * np.linalg.norm(moved, axis=1)
    found: Floats = (moved / length[:, None] * latents.std())[:COUNT]
    return found


def _follows(moved: Floats, along: Floats) -> bool:
    """Tell whether a component goes along where latents are moved.

    Some do not: activations bend, so two ways from the middle may lead to one side of a component.
    """
    lengths = float(np.linalg.norm(moved) * np.linalg.norm(along))
    return lengths > 0 and abs(float(moved @ along)) / lengths > LEAST_CORRELATION


def _components(centred: Floats, latents: Floats, count: int) -> Floats:
    """Return the first principal components of ``centred``, float32 [units, count].

    Subspace iteration begins with what the latents explain, so no random numbers are needed.
    """
    block = centred.T @ latents[:, :BLOCK]
    for _ in range(TURNS):
        block = centred.T @ (centred @ np.linalg.qr(block)[0])
    basis = np.linalg.qr(block)[0]
    _, _, within = np.linalg.svd(centred @ basis, full_matrices=False)
    components: Floats = basis @ within[:count].T
    return components


def _until(graph: Graph, name: str) -> onnx.ModelProto:
    """Return the model that computes the tensor ``name``, of the nodes that this needs."""
    wanted, needed = {name}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            needed.append(node)
    graph.nodes = needed[::-1]
    return graph.model()


def _activations(model: onnx.ModelProto, name: str, rows: Floats) -> Floats:
    """Return the tensor ``name`` that ``model`` computes of ``rows``, float32 [N, units]."""
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    runs: list[Any] = [
        session.run([name], feeds(session.get_inputs(), part))[0]
        for part in np.array_split(rows, max(1, len(rows) // 64))
    ]
    return np.concatenate(runs).reshape(len(rows), -1)
