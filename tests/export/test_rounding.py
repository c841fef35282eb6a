import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from keras import layers
from onnx import helper, numpy_helper

from export.convert import convert, write_onnx
from export.head import add_head
from export.parity import GOLDEN_PLAN, check_parity
from export.probes import make_probes
from export.rewrites import rewrite
from export.rounding import UNIT, rounding, with_errors
from export.tolerances import F32, MOST_FLOATS, SAFETY, limits
from server.runtime.plans import Plan

CPU = Plan("cpu", "f32")
WIDTH = 16
LARGE = 100.0
"""The size of biases that normalisations take out again: sums are as large, and so is rounding."""


def large_sums(depth):
    """A generator of 28x28 whose values before each normalisation are around ``LARGE``."""
    x = z = keras.Input((32,))
    x = layers.Reshape((7, 7, WIDTH))(layers.Dense(7 * 7 * WIDTH)(x))
    rng = np.random.default_rng(0)
    for layer in range(depth):
        convolution = layers.Conv2DTranspose(WIDTH, 4, 2 if layer < 2 else 1, "same")
        normalisation = layers.BatchNormalization()
        x = layers.LeakyReLU(0.2)(normalisation(convolution(x)))
        bias = rng.normal(0, LARGE, WIDTH)
        convolution.bias.assign(bias)
        normalisation.moving_mean.assign(bias)
    last = layers.Conv2DTranspose(1, 4, 2 if depth < 2 else 1, "same", activation="tanh")
    generator = keras.Model(z, last(x))
    for kernel in generator.weights:
        if kernel.name == "kernel":
            taps = 4 * kernel.shape[-1] if len(kernel.shape) == 4 else kernel.shape[0]
            kernel.assign(rng.normal(0, 1.5 / np.sqrt(taps), kernel.shape))
    return generator


@pytest.fixture(scope="module", params=[1, 2, 4])
def large(request, tmp_path_factory):
    """The converted graph, the probes and the reference of a generator with large sums."""
    generator = large_sums(request.param)
    folder = tmp_path_factory.mktemp("large")
    generator.export(str(folder / "saved_model"), verbose=False)
    graph = convert(folder / "saved_model", folder, 32, (28, 28, 1))
    probes = make_probes(32, rows=0)
    latents = np.concatenate([probe.latents for probe in probes])
    images = generator.predict(latents, verbose=0)
    return graph, probes, lambda _: images


def parity(graph, probes, reference, rounding, folder):
    path = folder / "generator.onnx"
    write_onnx(add_head(graph), path)
    return check_parity(path, reference, probes, [GOLDEN_PLAN], threads=1, rounding=rounding)


def test_good_generator_with_large_sums_passes_in_both_forms(large, tmp_path):
    graph, probes, reference = large
    found = rounding(graph, probes)
    for form in (graph, rewrite(graph)):
        report = parity(form, probes, reference, found, tmp_path)
        assert report.misses == []
        for kind, off in report.float_difference.items():
            assert off < found[kind], "twice the rounding is allowed"
    missed = parity(rewrite(graph), probes, reference, None, tmp_path).misses
    assert any("before the head" in miss for miss in missed), "the narrowest limits are for others"


def brighten(graph, levels):
    bright = onnx.ModelProto()
    bright.CopyFrom(graph)
    bright.graph.node[-1].output[0] = "dim"
    light = np.array(levels / 127.5, np.float32)
    bright.graph.initializer.append(numpy_helper.from_array(light, "light"))
    bright.graph.node.append(helper.make_node("Add", ["dim", "light"], ["images"], "brighten"))
    return bright


def test_fault_in_the_converted_graph_itself_is_not_excused_by_its_rounding(large, tmp_path):
    graph, probes, reference = large
    bright = brighten(graph, levels=0.12)
    report = parity(bright, probes, reference, rounding(bright, probes), tmp_path)
    assert any("before the head" in miss for miss in report.misses)
    assert any("away from a rounding boundary" in miss for miss in report.misses)


def test_errors_are_those_of_float32_and_the_same_in_every_session(converted, probes):
    latents = probes[0].latents[:4]
    drawn = [
        ort.InferenceSession(x.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"latents": latents}
        )[0]
        for x in (converted, with_errors(converted), with_errors(converted))
    ]
    np.testing.assert_array_equal(drawn[1], drawn[2])
    assert 0 < np.abs(drawn[1] - drawn[0]).max() < 100 * UNIT


def test_rounding_of_the_usual_generator_leaves_its_limits(converted, probes):
    found = rounding(converted, probes)
    assert UNIT < found["ordinary"] < found["extreme"]
    for kind in found:
        assert limits(CPU, found).of(kind).floats < 1.2 * F32.of(kind).floats


def test_limits_grow_with_the_rounding_up_to_a_tenth_of_a_grey_level():
    wide = limits(CPU, {"ordinary": 1e-5, "extreme": 1e-5}).ordinary
    assert wide.floats == SAFETY * 1e-5
    assert wide.levels == F32.ordinary.levels
    widest = limits(CPU, {"ordinary": 1.0, "extreme": np.inf})
    assert widest.ordinary.floats == widest.extreme.floats == MOST_FLOATS
    assert widest.ordinary.share_above_one == 0
    assert widest.ordinary.psnr_db > 55
