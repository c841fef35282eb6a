"""The variant exact of the default bundle, and what the bundle draws without it."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.variants.exact.bounds import largest_sum
from server.bundle import repository
from server.bundle.files import golden_file
from server.bundle.latents import latents
from server.runtime.open_session import open_session
from server.runtime.plans import Plan

ROOT = Path(__file__).parents[3]
RELEASED = {
    "generator-fp16.onnx": "22c448e1bc34efa891af560d877863082e1b3412cd15dd66ca059cdb85566572",
    "generator.onnx": "389098feb39bb90bb1b032f8b83f935edab376b70fc2a9b0f67d72b96ff06999",
    "golden.npy": "351e2bce099e2550479d30e19627f5b925fe5d780d43052e50b21120f6977434",
    "samples.png": "9256594cf43791378b7aee4d87c4a65ab939ce99c9a9867b0e43345801d5999b",
}
"""The files that decide what version 2 draws, as it was released."""
DRAWN = "96a60ec247c9986b8064d3ff103e3117181d6afffb30bc9cc9aec4562eae57f8"
"""The SHA-256 of the images of 32 seeds in exact, written down on an AMD EPYC with AVX-512."""
PLANS = [Plan("openvino", "exact"), Plan("cpu", "exact")]


@pytest.fixture(scope="module")
def bundle():
    return repository.find(ROOT / "models", "cars-dcgan", "2")


def test_version_2_draws_in_other_precisions_what_it_drew_when_it_was_released(bundle):
    found = {
        name: hashlib.sha256((bundle.path / name).read_bytes()).hexdigest() for name in RELEASED
    }
    assert found == RELEASED
    assert {name: bundle.manifest.files[name].sha256 for name in RELEASED} == RELEASED


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_exact_images_are_the_same_bytes_on_this_processor_as_on_every_other(bundle, plan):
    session, failed = open_session(bundle, [plan], threads=2)  # its golden images, byte for byte
    assert not failed
    images = session.run(latents(range(32), bundle.manifest.latents.dim))
    assert hashlib.sha256(images.tobytes()).hexdigest() == DRAWN


def test_sums_of_the_exact_graph_are_bounded_as_the_file_stands(bundle):
    model = onnx.load(str(bundle.path / bundle.manifest.variant("exact").file))
    assert 0.5 < largest_sum(model) <= 1


def test_exact_images_are_near_to_those_in_float32(bundle):
    exact = bundle.golden_images(golden_file("exact")).astype(np.int16)
    off = np.abs(exact - bundle.golden_images())
    assert off.max() <= 4
    assert 10 * np.log10(255**2 / np.square(off, dtype=np.float64).mean()) > 51
