"""The gradient on ONNX Runtime: opened, held against differences, and refused where it is wrong."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from server.bundle.files import file_facts, load_bundle
from server.bundle.latents import latents
from server.runtime.gradient import SLOPE_OFF, GradientSession, self_test_gradient
from server.runtime.open_session import open_session
from server.runtime.plans import Plan, SessionError, gradient_plans
from tests.bundles import ROOT

DEFAULT = ROOT / "models" / "cars-dcgan" / "2"


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(DEFAULT)


@pytest.fixture(scope="module")
def session(bundle):
    session, failed = open_session(bundle, gradient_plans(Plan("openvino", "bf16")), threads=1)
    assert not failed
    return session


def rows_of(seeds, cotangents):
    z = latents(seeds, 100)
    return np.concatenate([z, cotangents.reshape(len(z), -1)], axis=1)


def test_gradients_are_near_to_differences_at_the_golden_seeds(session, bundle):
    assert isinstance(session, GradientSession)
    assert session.width == 100 + 32 * 32 * 3
    assert self_test_gradient(session, bundle) < SLOPE_OFF / 3


def test_row_has_the_same_gradient_in_any_batch(session):
    cotangents = np.random.default_rng(1).standard_normal((5, 32, 32, 3)).astype(np.float32)
    whole = session.run(rows_of(range(5), cotangents))
    assert whole.shape == (5, 100)
    assert whole.dtype == np.float32
    for row in range(5):
        alone = session.run(rows_of([row], cotangents[row : row + 1]))
        np.testing.assert_allclose(alone[0], whole[row], rtol=1e-4, atol=1e-5)


def test_gpu_is_tried_before_the_processor_where_it_serves():
    assert [str(x) for x in gradient_plans(Plan("cuda", "f16"))] == ["cuda/f32", "cpu/f32"]
    assert [str(x) for x in gradient_plans(Plan("openvino", "int8"))] == ["cpu/f32"]
    assert all(x.variant == "gradient" for x in gradient_plans(Plan("cuda", "f16")))


def test_gradient_of_another_network_is_refused(tmp_path):
    folder = tmp_path / "cars-dcgan" / "2"
    shutil.copytree(DEFAULT, folder)
    path = folder / "generator-gradient.onnx"
    model = onnx.load(str(path), load_external_data=False)
    slope = next(
        x for x in model.graph.initializer
        if x.data_location == onnx.TensorProto.DEFAULT
        and x.name.startswith("gradient.constant")
        and numpy_helper.to_array(x).dtype == np.float32
        and numpy_helper.to_array(x).size == 1
        and 0 < numpy_helper.to_array(x) < 1
    )  # fmt: skip
    slope.CopyFrom(numpy_helper.from_array(np.array(0.9, np.float32), slope.name))
    path.write_bytes(model.SerializeToString())
    facts = json.loads((folder / "manifest.json").read_text())
    facts["files"][path.name] = vars(file_facts(path))
    (folder / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(SessionError, match="its gradients are off by"):
        open_session(load_bundle(folder), gradient_plans(Plan("cpu", "f32")), threads=1)
