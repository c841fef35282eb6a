"""The peak is that of products of large matrices, and operations are counted as they are done."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from loadtests import peak
from loadtests.peers import drawing


def test_a_product_of_matrices_is_as_many_multiplications_as_additions():
    model = peak.matrices(8)
    assert peak.operations(model) == peak.PRODUCTS * 2 * 8 * 8


def test_a_convolution_counts_each_weight_at_each_pixel():
    weight = numpy_helper.from_array(np.ones((5, 3, 2, 2), np.float32), "weight")
    ends = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 9, 9]),
        helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["batch", 5, 8, 8]),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["kept"]),
    ]
    graph = helper.make_graph(nodes, "seeing", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert peak.operations(model) == 2 * (8 * 8 * 5) * (3 * 2 * 2)


def test_served_graph_takes_about_what_the_network_takes():
    """Rewrites add a few operations: a kernel of three rows becomes two of two."""
    layers = [100 * 4096, *(rows**2 * 4 * 128 * inputs * 4 for rows, inputs in SIZES)]
    network = 2 * (sum(layers) + 32 * 32 * 3 * 128 * 9)
    assert network < peak.operations(onnx.load(drawing.GRAPH)) < 1.05 * network


SIZES = ((4, 256), (8, 128), (16, 128))
"""The rows and the channels that each transposed convolution reads."""


def test_matrices_are_multiplied_by_the_peers_session():
    session = drawing.session_on(peak.matrices(64).SerializeToString(), 1)
    rows = np.eye(64, dtype=np.float32)
    weight = numpy_helper.to_array(peak.matrices(64).graph.initializer[0])
    wanted = np.linalg.matrix_power(weight.astype(np.float64), peak.PRODUCTS)
    (found,) = session.run(None, {"rows": rows})
    assert np.abs(found - wanted).max() == pytest.approx(0, abs=0.05)  # it may be in bfloat16
