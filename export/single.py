"""A graph in float64 as one in float32: runtimes have no kernels for its convolutions.

The images are compared with those of the SavedModel, which draws in float64.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def single(model: onnx.ModelProto) -> None:
    """Turn every float64 weight, constant and tensor of ``model`` into float32."""
    graph = model.graph
    kinds = _kinds(model)
    if TensorProto.DOUBLE not in kinds.values():
        return
    for weight in graph.initializer:
        _cast(weight)
    kept = []
    for node in graph.node:
        if node.op_type == "Cast" and _to(node) in FLOATS and kinds.get(node.input[0]) in FLOATS:
            _bypass(graph, node)
            continue
        for attribute in node.attribute:
            if attribute.type == attribute.TENSOR:
                _cast(attribute.t)
        kept.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Return the type of each tensor by name, as ONNX numbers types."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {weight.name: weight.data_type for weight in graph.initializer}


def _to(node: onnx.NodeProto) -> int:
    return next(int(a.i) for a in node.attribute if a.name == "to")


def _cast(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _bypass(graph: onnx.GraphProto, cast: onnx.NodeProto) -> None:
    """Let what reads the result of ``cast`` read its operand; the graph's output keeps its name."""
    old, new = cast.output[0], cast.input[0]
    if old in {value.name for value in graph.output}:
        old, new = new, old
    for node in graph.node:
        for of in (node.input, node.output):
            of[:] = [new if name == old else name for name in of]
