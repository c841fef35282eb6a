"""The Keras network of the bundle, with the weights that are read back from the bundle's graph.

A bundle holds no Keras file. Its graph is the one that training drew, rewritten: normalization is
in the kernels, each transposed convolution is four plain ones, one for each place of a pixel in its
square of 2x2, and the last convolution is done on these four apart. So each number of Keras's
kernels stands in the graph, at another place.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from loadtests.peers.drawing import BUNDLE
from training.models import build_generator
from training.normalization import BatchNormalization

GRAPH = BUNDLE / "generator-float.onnx"
COLORS = 3
PLACES = 4
"""The places of a pixel in its square of 2x2, each with a convolution of its own."""
TRANSPOSED = ((2, 0), (3, 1))
"""The rows of a kernel of 4 that are in a convolution without and with padding above it."""
PLAIN = ((1,), (0, 2))
"""The rows of a kernel of 3 that the colors of a square's first pixel have in such convolutions."""
Weights = list[NDArray[np.float32]]


class Conv:
    """One convolution of the graph: its weights and its padding."""

    def __init__(self, node: onnx.NodeProto, weights: dict[str, NDArray[np.float32]]) -> None:
        self.kernel = weights[node.input[1]]
        """float32 [outputs, inputs, 2, 2]"""
        self.bias = weights[node.input[2]] if len(node.input) > 2 else None
        pads = next(list(x.ints) for x in node.attribute if x.name == "pads")
        self.above, self.left = pads[:2]


def generator() -> Any:
    """Return the generator of training, in float32, which draws what the bundle draws.

    Its images are float32 [n, 32, 32, 3] in [-1, 1]. Normalization is in the kernels already, and
    changes nothing any more.
    """
    graph = onnx.load(GRAPH).graph
    weights = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
    convs = [Conv(x, weights) for x in graph.node if x.op_type == "Conv"]
    last = [x for x in convs if len(x.kernel) == PLACES * COLORS]
    others = [x for x in convs if len(x.kernel) != PLACES * COLORS]
    found = [_dense(graph, weights)]
    found += [_transposed(others[i : i + PLACES]) for i in range(0, len(others), PLACES)]
    found += [_plain(last)]
    model = build_generator()
    with_weights = [x for x in model.layers if x.weights and not _normalizes(x)]
    for layer, values in zip(with_weights, found, strict=True):
        layer.set_weights(values)
    for layer in filter(_normalizes, model.layers):
        ones = np.ones(layer.gamma.shape, np.float32)
        layer.set_weights([ones, 0 * ones, 0 * ones, ones - np.float32(layer.epsilon)])
    return model


def pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return images in [-1, 1], float32 [n, 32, 32, 3], as uint8, as the bundle's graph does."""
    levels: NDArray[np.float32] = np.rint((images + 1) * 127.5)
    return levels.clip(0, 255).astype(np.uint8)


def _normalizes(layer: Any) -> bool:
    return isinstance(layer, BatchNormalization)


def _dense(graph: onnx.GraphProto, weights: dict[str, NDArray[np.float32]]) -> Weights:
    """Return the first layer's weights; the graph has channels first, Keras has them last."""
    gemm = next(x for x in graph.node if x.op_type == "Gemm")
    kernel = next(x for x in weights.values() if x.ndim == 2)
    return [_channels_last(kernel), _channels_last(weights[gemm.input[2]][None])[0]]


def _channels_last(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    n = len(rows)
    return rows.reshape(n, -1, 4, 4).transpose(0, 2, 3, 1).reshape(n, -1)


def _transposed(convs: Sequence[Conv]) -> Weights:
    """Return the kernel, float32 [4, 4, outputs, inputs], and the bias of four convolutions."""
    outputs, inputs, _, _ = convs[0].kernel.shape
    kernel = np.empty((4, 4, outputs, inputs), np.float32)
    for conv in convs:
        at = np.ix_(TRANSPOSED[conv.above], TRANSPOSED[conv.left])
        kernel[at] = conv.kernel.transpose(2, 3, 0, 1)
    return [kernel, _bias(convs)]


def _plain(convs: Sequence[Conv]) -> Weights:
    """Return the kernel, float32 [3, 3, inputs, 3], and the bias of the last layer.

    The colors of the first pixel of each square have all of the kernel's numbers.
    """
    kernel = np.empty((3, 3, convs[0].kernel.shape[1], COLORS), np.float32)
    for conv in convs:
        rows, columns = PLAIN[conv.above], PLAIN[conv.left]
        part = conv.kernel[:COLORS, :, : len(rows), : len(columns)]
        kernel[np.ix_(rows, columns)] = part.transpose(2, 3, 1, 0)
    return [kernel, _bias(convs)[:COLORS]]


def _bias(convs: Sequence[Conv]) -> NDArray[np.float32]:
    return next(x.bias for x in convs if x.bias is not None)
