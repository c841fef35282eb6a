"""A small generator whose weights are made by whole numbers alone, the same on every processor."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convert import IMAGES, LATENTS, finish

LATENT_DIM = 16
CHANNELS = 8


def weights(shape, seed, size):
    """Fractions in [-size, size], from a stream of words that NumPy promises to keep."""
    words = np.random.Philox(key=seed).random_raw(int(np.prod(shape)))
    whole = (words >> np.uint64(48)).astype(np.float64).reshape(shape)
    return ((whole - 2**15) * (size / 2**15)).astype(np.float32)


def generator(activation="LeakyRelu"):
    """A generator of 8 x 8 images: a Dense layer, two convolutions, tanh, channels last."""
    kept = {
        "dense": weights((LATENT_DIM, CHANNELS * 16), 1, 0.6),
        "dense.bias": weights((CHANNELS * 16,), 2, 0.2),
        "shape": np.array([-1, CHANNELS, 4, 4]),
        "up": weights((CHANNELS, CHANNELS, 4, 4), 3, 0.4),
        "up.bias": weights((CHANNELS,), 4, 0.2),
        "last": weights((3, CHANNELS, 3, 3), 5, 0.3),
        "last.bias": weights((3,), 6, 0.2),
    }
    node = helper.make_node
    facts = {"alpha": 0.2} if activation == "LeakyRelu" else {}
    nodes = [
        node("Gemm", [LATENTS, "dense", "dense.bias"], ["a"], "dense"),
        node(activation, ["a"], ["b"], "active1", **facts),
        node("Reshape", ["b", "shape"], ["c"], "image"),
        node(
            "ConvTranspose", ["c", "up", "up.bias"], ["d"], "up", strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        node(activation, ["d"], ["e"], "active2", **facts),
        node("Conv", ["e", "last", "last.bias"], ["f"], "last", pads=[1, 1, 1, 1]),
        node("Tanh", ["f"], ["g"], "tanh"),
        node("Transpose", ["g"], [IMAGES], "turn", perm=[0, 2, 3, 1]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "generator",
        [value(LATENTS, TensorProto.FLOAT, ["batch", LATENT_DIM])],
        [value(IMAGES, TensorProto.FLOAT, ["batch", 8, 8, 3])],
        [numpy_helper.from_array(values, name) for name, values in kept.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return finish(model)


@pytest.fixture(scope="session")
def floats_bytes():
    return generator().SerializeToString()


@pytest.fixture
def floats(floats_bytes):
    """The float generator, a copy to alter."""
    return onnx.load_from_string(floats_bytes)
