"""Graphs of one or a few layers with random weights, before and after a rewrite."""

from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

CPU = ["CPUExecutionProvider"]


@dataclass
class Layers:
    """A graph from ``x`` [batch, *shape] to ``y``, built layer by layer."""

    shape: tuple[int, ...]
    seed: int = 0
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def add(self, op, *weights, **attributes):
        """Append a layer; a weight is its shape, filled at random, or an array."""
        label = f"{op}{len(self.nodes)}"
        names = [self.nodes[-1].output[0] if self.nodes else "x"]
        for weight in weights:
            names.append(f"{label}.{len(names)}")
            random = not isinstance(weight, np.ndarray)
            values = self.rng.normal(size=weight).astype(np.float32) if random else weight
            self.weights.append(numpy_helper.from_array(values, names[-1]))
        self.nodes.append(helper.make_node(op, names, [f"{label}:0"], label, **attributes))
        return self

    def model(self):
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            "layers",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self.weights,
        )
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


@pytest.fixture(scope="session")
def layers():
    return Layers


def _draw(model, x):
    session = ort.InferenceSession(model.SerializeToString(), providers=CPU)
    return session.run(None, {"x": x})[0]


@pytest.fixture(scope="session")
def unchanged():
    """Make sure that two models give the same, and that the second has the operators ``ops``."""

    def check(before, after, ops=None):
        shape = [d.dim_value for d in before.graph.input[0].type.tensor_type.shape.dim][1:]
        x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
        wanted, found = _draw(before, x), _draw(after, x)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max()))
        if ops is not None:
            assert [node.op_type for node in after.graph.node] == ops

    return check
