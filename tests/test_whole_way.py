"""The whole way in small: photographs, a few steps, parity, a server, one car over HTTP."""

import io
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.parity import GOLDEN_PLAN
from export.reference import load_reference
from export.tolerances import limits
from server.bundle.files import load_bundle
from server.bundle.latents import latents_range
from tests.servers import PYTHON, serving

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Train for a few steps on some photographs and export what comes of it."""
    folder = tmp_path_factory.mktemp("whole-way")
    few = ("--epochs", 1, "--limit-images", 128, "--statistics-passes", 4, "--swd-images", 128)
    run("training", "--out", folder / "run", *few)
    bundle = ("--name", "few-cars", "--version", 3, "--models", folder)
    run("tests.small_export", folder / "run", *bundle)
    return folder


def test_bundle_tells_where_it_came_from(models):
    lineage = load_bundle(models / "few-cars" / "3").manifest.lineage
    assert "128" in json.dumps(lineage)
    assert "cifar10-cars" in json.dumps(lineage)


def test_the_environment_that_serves_chooses_the_plans_that_the_export_proved(models):
    parity = json.loads((models / "few-cars" / "3" / "parity.json").read_text())
    code = "from server.runtime.plans import choose_plans; print(*choose_plans(), sep='\\n')"
    chosen = subprocess.run([PYTHON, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert chosen.returncode == 0, chosen.stderr
    assert [*parity["plans"]] == chosen.stdout.replace("/", " ").splitlines()


def test_trained_and_exported_model_is_served_as_its_golden_images_say(models):
    bundle = load_bundle(models / "few-cars" / "3")
    settings = {"CARFRONT_MODELS": str(models), "CARFRONT_MODEL": "few-cars"}
    with serving(PYTHON, settings) as server:
        for seed, golden in zip(bundle.manifest.golden.seeds, bundle.golden_images(), strict=True):
            url = f"{server.url}/v1/images/{seed}.png"
            with urllib.request.urlopen(url) as response:
                image = np.asarray(Image.open(io.BytesIO(response.read())))
            difference = np.abs(image.astype(int) - golden.astype(int)).max()
            assert difference <= bundle.manifest.golden.tolerance
        with urllib.request.urlopen(f"{server.url}/metrics") as response:
            assert b'model="few-cars"' in response.read()


def test_predictions_are_those_of_the_saved_model_within_the_exports_tolerance(models):
    reference = load_reference(models / "run" / "saved_model")
    rounding = json.loads((models / "few-cars" / "3" / "parity.json").read_text())["rounding"]
    most = limits(GOLDEN_PLAN, rounding)
    settings = {"CARFRONT_MODELS": str(models), "CARFRONT_MODEL": "few-cars"}
    with serving(PYTHON, settings) as server:
        for factor, kind in ((1, "ordinary"), (5, "extreme")):
            rows = latents_range(7, 64, 100) * np.float32(factor)
            body = json.dumps({"instances": rows.tolist()}).encode()
            with urllib.request.urlopen(f"{server.url}/v1/models/few-cars:predict", body) as answer:
                predictions = np.array(json.load(answer)["predictions"], np.float32)
            assert np.abs(predictions).max() <= 1
            assert np.abs(predictions - reference(rows)).max() <= most.of(kind).floats
