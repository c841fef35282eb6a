"""The gradient's graph, made of a generator's graph by going through its nodes backwards."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from export.convert import BATCH, LATENTS, dims, finish
from export.errors import VariantRefused
from export.gradient.backward import Backward
from export.gradient.rules import through
from export.head import IMAGES_FLOAT
from export.rewrites.graph import Graph

COTANGENTS = "cotangents"
"""The second input: the gradient of a loss with respect to the images, float32 of their shape."""
GRADIENT = "gradient"
"""The first output: that loss's gradient with respect to the latents, [batch, latent_dim]."""
KEPT_BYTES = 1024
"""The bytes of a weight that may stay in the graph: a reference to another file takes a hundred."""


def gradient_graph(floats: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph of ``latents`` and ``cotangents`` to ``gradient`` and ``images_float``.

    ``floats`` is the generator with float images, whose nodes are in the order in which they run.

    Raises:
        VariantRefused: an operator of it has no rule, or is used in a way that has none.
        ConversionFailed: the graph is not valid.
    """
    graph = Graph(finish(floats))
    backward = Backward(graph, LATENTS)
    (images,) = floats.graph.output
    backward.give(images.name, COTANGENTS)
    for node in reversed(graph.nodes):
        given = [x for name in node.output if (x := backward.gradient(name))]
        if len(given) == 1 and len(node.output) == 1:
            through(backward, node, given[0])
        elif given:
            raise VariantRefused(f"{node.name} has several outputs")
    found = backward.gradient(LATENTS)
    if found is None:
        raise VariantRefused("the images do not depend on the latents")
    forward, graph.nodes = graph.nodes, []
    last = helper.make_node("Identity", [found], [GRADIENT], GRADIENT)
    graph.nodes = [*forward, *backward.nodes, last]
    model = graph.model()
    _name_ends(model, floats)
    return finish(model)


def _name_ends(model: onnx.ModelProto, floats: onnx.ModelProto) -> None:
    (latents,), (images,) = floats.graph.input, floats.graph.output
    cotangents = helper.make_tensor_value_info(COTANGENTS, TensorProto.FLOAT, dims(images))
    gradient = helper.make_tensor_value_info(GRADIENT, TensorProto.FLOAT, [BATCH, dims(latents)[1]])
    model.graph.input.append(cotangents)
    del model.graph.output[:]
    model.graph.output.extend([gradient, images])
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [IMAGES_FLOAT if name == images.name else name for name in names]
    model.graph.output[1].name = IMAGES_FLOAT


def without_weights(model: onnx.ModelProto, beside: Path) -> onnx.ModelProto:
    """Return ``model`` with those weights left out that the file ``beside`` it has byte for byte.

    They are external data of that file, which is a graph itself: ONNX asks only for a place.
    """
    content = beside.read_bytes()
    shared = onnx.ModelProto()
    shared.CopyFrom(model)
    for weight in shared.graph.initializer:
        values = numpy_helper.to_array(weight).tobytes()
        place = content.find(values) if len(values) > KEPT_BYTES else -1
        if place < 0:
            continue
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        del weight.external_data[:]
        for key, value in (("location", beside.name), ("offset", place), ("length", len(values))):
            weight.external_data.add(key=key, value=str(value))
    return shared
