"""Parts of tensors that are made by themselves instead of cut out."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from export.convert import IMAGES, LATENTS
from export.variants.exact import cut
from export.variants.exact.nodes import Nodes
from server.bundle.latents import latents
from tests.export.variants.exact.conftest import weights

HALVES = (slice(0, 4), slice(4, 8))


def convolution(nodes, source, output, shape, key):
    kept = [
        nodes.keep(f"{output}.weight", weights(shape, key, 1.0)),
        nodes.keep(f"{output}.bias", weights(shape[:1], key + 1, 1.0)),
    ]
    return nodes.add("Conv", [source, *kept], output)


def made(nodes):
    """Return the graph ``nodes`` from 16 latents, with its shapes."""
    value = helper.make_tensor_value_info
    rows = value(LATENTS, TensorProto.FLOAT, ["batch", 16])
    images = value(IMAGES, TensorProto.UINT8, None)
    graph = helper.make_graph([], "made", [rows], [images])
    opsets = [helper.make_opsetid("", 18)]
    return nodes.model(helper.make_model(graph, opset_imports=opsets, ir_version=10))


@pytest.fixture
def copied(monkeypatch):
    """A graph with a Slice for both halves of a DepthToSpace, and of what is made of these."""
    monkeypatch.setattr(cut, "LEAST", 4)
    nodes = Nodes()
    add = nodes.add
    small = add("Reshape", [LATENTS, nodes.keep("shape", np.array([-1, 4, 2, 2]))], "small")
    phases = []
    for place in range(4):
        name = convolution(nodes, small, f"phase{place}", (8, 4, 1, 1), 10 * place)
        factors = weights((8, 1, 1), 100 + place, 1.0)
        name = nodes.scale_channels(name, factors, f"phase{place}.steps")
        phases.append(nodes.clip(name, -2.0, 3.0, f"phase{place}.clipped"))
    name = add("Concat", phases, "joined", axis=1)
    large = add("DepthToSpace", [name], "large", blocksize=2)
    for layer in ("first", "second"):
        parts = [nodes.part(large, half) for half in HALVES]
        sums = [
            add("Round", [convolution(nodes, x, f"{layer}{i}", (8, 4, 1, 1), 50 + i)], f"{x}.whole")
            for i, x in enumerate(parts)
        ]
        large = add("LeakyRelu", [add("Add", sums, f"{layer}.sum")], f"{layer}.active", alpha=0.2)
    add("Cast", [nodes.clip(large, 0.0, 255.0, "grey")], "bytes", to=TensorProto.UINT8)
    return made(nodes)


def draw(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {LATENTS: 8 * latents(range(64), 16)})[0]


def needed(model):
    """Return the operators of the nodes that the output needs."""
    makers = {node.output[0]: node for node in model.graph.node}
    found, waiting = {}, [model.graph.output[0].name]
    while waiting:
        if node := makers.get(waiting.pop()):
            found[node.output[0]] = node.op_type
            waiting += node.input
    return list(found.values())


def test_parts_are_made_by_themselves_to_the_same_bytes(copied):
    parts = cut.without_slices(copied)
    onnx.checker.check_model(parts)
    assert needed(copied).count("Slice") == 4
    assert "Slice" not in needed(parts)
    images = draw(copied)
    assert len(np.unique(images)) > 10
    np.testing.assert_array_equal(draw(parts), images)


def test_small_parts_stay_copies(copied, monkeypatch):
    monkeypatch.setattr(cut, "LEAST", 5)
    assert needed(cut.without_slices(copied)).count("Slice") == 4


def test_parts_of_a_tensor_that_is_read_whole_too_stay_copies(copied):
    copied.graph.node.append(helper.make_node("Relu", ["large"], ["also"], "also"))
    assert needed(cut.without_slices(copied)).count("Slice") == 2


def test_parts_of_what_another_order_of_blocks_makes_stay_copies(copied):
    for node in copied.graph.node:
        if node.op_type == "DepthToSpace":
            node.attribute.append(helper.make_attribute("mode", "CRD"))
    parts = cut.without_slices(copied)
    assert needed(parts).count("Slice") == 2
    np.testing.assert_array_equal(draw(parts), draw(copied))
