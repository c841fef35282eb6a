"""The files that a graph names are found, wherever in the graph a tensor may lie."""

import onnx
import pytest
from onnx import TensorProto, helper

from server.bundle.external_data import ENTRY, MESSAGES, external_files
from server.bundle.manifest import BundleError
from tests.bundles import ROOT


def weights(location):
    tensor = TensorProto(name=location, dims=[4], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_every_field_that_leads_to_a_tensor_is_followed():
    """ONNX's own description of its messages says which."""

    def name(message):
        return message.full_name.removeprefix("onnx.").removesuffix("Proto")

    fields, left = {}, [onnx.ModelProto.DESCRIPTOR]
    while left:
        message = left.pop()
        if name(message) not in fields:
            inner = {x.number: x.message_type for x in message.fields if x.message_type}
            fields[name(message)] = {number: name(x) for number, x in inner.items()}
            left += inner.values()
    lead, before = {"Tensor"}, set()
    while lead != before:
        before, lead = lead, lead | {x for x in fields if lead & set(fields[x].values())}
    followed = {x: {n: y for n, y in fields[x].items() if y in lead} for x in lead}
    (number,) = [x.number for x in onnx.TensorProto.DESCRIPTOR.fields if x.name == "external_data"]
    assert fields["Tensor"][number] == ENTRY
    assert followed | {"Tensor": {number: ENTRY}} == MESSAGES


def test_files_of_all_tensors_are_found(tmp_path):
    inner = helper.make_graph([], "inner", [], [], initializer=[weights("in a graph of a node")])
    constant = helper.make_node("Constant", [], ["c"], value=weights("in an attribute"))
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [constant, branch], "outer", [], [], initializer=[weights("initializer")]
    )
    values = onnx.SparseTensorProto(values=weights("sparse"), indices=weights("indices"))
    graph.sparse_initializer.append(values)
    nodes = [helper.make_node("Constant", [], ["c"], value=weights("in a function"))]
    function = helper.make_function("own", "f", [], ["c"], nodes, [])
    model = helper.make_model(graph, functions=[function])
    model.training_info.add().algorithm.initializer.append(weights("training"))
    path = tmp_path / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    assert external_files(path) == {
        "in a graph of a node",
        "in an attribute",
        "in a function",
        "initializer",
        "sparse",
        "indices",
        "training",
    }


def test_graphs_with_their_weights_inside_name_no_file():
    graphs = set((ROOT / "models").glob("*/*/*.onnx"))
    gradients = {graph for graph in graphs if graph.stem == "generator-gradient"}
    assert all(external_files(graph) == set() for graph in graphs - gradients)
    assert [external_files(graph) for graph in gradients] == [{"generator-float.onnx"}]


def test_graph_with_more_fields_than_anybody_has_is_refused(tmp_path):
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"\x08\x01" * 2_000_001)
    with pytest.raises(BundleError, match="no ONNX graph: it has more than 2000000 fields"):
        external_files(path)
