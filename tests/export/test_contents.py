import hashlib
import json
import shutil

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from export.config import ExportConfig
from export.contents import Proven, write_contents
from export.head import to_uint8
from export.parity import GOLDEN_PLAN
from export.pictures import grid, sheet_of
from export.probes import GOLDEN_SEEDS
from export.run import read_run
from export.tolerances import GOLDEN_LEVELS
from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.bundle.manifest import BundleError
from server.runtime.open_session import open_session
from server.runtime.plans import choose_plans
from server.runtime.session import Session


@pytest.fixture(scope="module")
def bundle(run_dir, model_path, report, tmp_path_factory):
    """A bundle of the good model. Read only."""
    folder = tmp_path_factory.mktemp("bundle")
    config = ExportConfig(run_dir, "cars-dcgan", "1")
    write_contents(folder, Proven("all", model_path, report), read_run(run_dir), config)
    return load_bundle(folder)


def test_manifest_lists_every_file_but_itself(bundle):
    there = {path.name for path in bundle.path.iterdir()}
    assert set(bundle.manifest.files) | {"manifest.json"} == there
    graphs = {"generator.onnx", "generator-float.onnx", "generator-gradient.onnx"}
    assert there == graphs | {
        "manifest.json",
        "golden.npy",
        "parity.json",
        "report.html",
        "samples.png",
    }


@pytest.mark.parametrize("name", ["generator.onnx", "golden.npy", "parity.json", "samples.png"])
def test_flipped_byte_is_refused(bundle, name, tmp_path):
    path = shutil.copytree(bundle.path, tmp_path / "1") / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="is not what was exported"):
        load_bundle(path.parent)


def test_golden_images_are_the_fp32_images_of_the_golden_seeds(bundle):
    golden = bundle.manifest.golden
    assert golden.seeds == GOLDEN_SEEDS
    assert golden.tolerance == GOLDEN_LEVELS
    session = Session(bundle.path / "generator.onnx", GOLDEN_PLAN, threads=1)
    np.testing.assert_array_equal(bundle.golden_images(), session.run(latents(GOLDEN_SEEDS, 100)))
    digests = [hashlib.sha256(x.tobytes()).hexdigest() for x in bundle.golden_images()]
    assert digests == golden.sha256


def test_server_opens_a_session_on_it_with_its_first_plan(bundle):
    plans = choose_plans()
    session, failed = open_session(bundle, plans, threads=1)
    assert session.plan in plans
    assert len(failed) == plans.index(session.plan)


def test_lineage_is_what_the_run_says_and_the_versions_of_the_export(bundle, config):
    run = json.loads((config.source / "run.json").read_text())
    lineage = bundle.manifest.lineage
    assert lineage["training"] == {k: v for k, v in run.items() if k != "schema_version"}
    versions = lineage["export"]["versions"]
    assert {"python", "onnx", "tf2onnx", "tensorflow", "numpy"} <= set(versions)
    assert ort.__version__ in (versions.get("onnxruntime"), versions.get("onnxruntime-openvino"))
    assert len(lineage["export"]["saved_model_sha256"]) == 64


def test_no_path_of_the_exporting_machine_is_in_it(bundle, config):
    for path in bundle.path.iterdir():
        assert str(config.source.parent).encode() not in path.read_bytes()


def test_directions_of_the_latents_are_in_it_and_wait_for_names(bundle):
    found = bundle.manifest.directions
    assert [x.name for x in found] == [f"direction {n}" for n in range(1, 9)]


def test_samples_show_the_first_seeds(bundle, report):
    with Image.open(bundle.path / "samples.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    first = pixels[4 : 4 + 64 : 2, 4 : 4 + 64 : 2]
    np.testing.assert_array_equal(first, report.images(GOLDEN_PLAN)[len(GOLDEN_SEEDS)])


@pytest.mark.parametrize(
    ("size", "count", "zoom"),
    [(28, 128, 2), (64, 128, 2), (128, 128, 1), (256, 32, 1), (4096, 1, 1)],
)
def test_samples_of_large_images_are_fewer_and_not_enlarged(size, count, zoom):
    columns, rows, found = sheet_of((size, size, 3))
    assert (columns * rows, found) == (count, zoom)
    if count > 1:
        sheet = grid(np.zeros((count, size, size, 3), np.uint8))
        assert max(sheet.size) < 2500


def test_same_run_gives_the_same_bundle(bundle, config, model_path, report, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    write_contents(again, Proven("all", model_path, report), read_run(config.source), config)
    for path in bundle.path.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_parity_json_has_every_plan_with_its_limits(bundle):
    facts = json.loads((bundle.path / "parity.json").read_text())
    assert facts["misses"] == []
    assert set(facts["plans"]) == {f"{p.provider} {p.precision}" for p in choose_plans()}
    golden = facts["plans"]["cpu f32"]
    assert golden["ordinary"]["levels"] <= golden["limits"]["ordinary"]["levels"]
    assert bundle.manifest.variant("fp32").parity["plans"] == facts["plans"]


def test_float_images_are_there_for_those_who_ask(bundle):
    path = bundle.path / bundle.manifest.variant("floats").file
    floats = Session(path, GOLDEN_PLAN, threads=1).run(latents(GOLDEN_SEEDS, 100))
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(to_uint8(floats), bundle.golden_images())
