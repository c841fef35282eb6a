"""The exported graphs in three runtimes that have nothing in common but ONNX's operators."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.convert import write_onnx
from export.head import cut_head
from export.runtimes import draw
from export.runtimes.trial import SIZES, of_size
from server.bundle import repository
from server.runtime.plans import Plan
from server.runtime.session import Session

MODELS = Path(__file__).parents[2] / "models"
ROWS = np.random.default_rng(3).standard_normal((2 * SIZES[0], 100), np.float32)


def openvino(graph, _latents):
    return Session(graph, Plan("openvino", "f32"), 1).run


@pytest.fixture(scope="module")
def wanted(model_path):
    return Session(model_path, Plan("cpu", "f32"), 1).run(ROWS)


@pytest.mark.parametrize("runtime", [draw.onnx_reference, draw.onnxruntime, openvino])
def test_images_are_within_a_level_in_batches_of_any_size(runtime, model_path, wanted):
    run = runtime(model_path, ROWS)
    for size in SIZES:
        images = np.concatenate([run(ROWS[i : i + size]) for i in range(0, len(ROWS), size)])
        off = np.abs(images.astype(int) - wanted)
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-3


@pytest.mark.parametrize("runtime", [draw.onnx_reference, draw.onnxruntime])
def test_graph_of_float_images_runs_as_well(runtime, model_path, wanted, tmp_path):
    floats = tmp_path / "generator-float.onnx"
    write_onnx(cut_head(onnx.load(str(model_path))), floats)
    levels = (runtime(floats, ROWS)(ROWS) + 1) * 127.5
    assert np.abs(levels - wanted).max() <= 0.51


def test_graph_of_one_batch_size_draws_the_same(model_path, wanted, tmp_path):
    fixed = tmp_path / "seven.onnx"
    write_onnx(of_size(onnx.load(str(model_path)), SIZES[0]), fixed)
    (latents,) = onnx.load(str(fixed)).graph.input
    assert [x.dim_value for x in latents.type.tensor_type.shape.dim] == [SIZES[0], 100]
    images = draw.onnxruntime(fixed, ROWS)(ROWS[: SIZES[0]])
    np.testing.assert_array_equal(images, wanted[: SIZES[0]])


def test_shipped_graph_of_float_images_has_no_bfloat16():
    bundle = repository.find(MODELS, "cars-dcgan", "2")
    floats = onnx.load(str(bundle.path / bundle.manifest.variant("floats").file))
    kinds = {x.i for node in floats.graph.node for x in node.attribute if x.name == "to"}
    assert onnx.TensorProto.BFLOAT16 not in kinds
    images = draw.onnx_reference(bundle.path / "generator-float.onnx", ROWS)(ROWS[:2])
    golden = Session(bundle.path / "generator.onnx", Plan("cpu", "f32"), 1).run(ROWS[:2])
    assert np.abs((images + 1) * 127.5 - golden).max() <= 0.51
