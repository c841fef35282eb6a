"""A bundle draws here what the server draws of it."""

import numpy as np
import pytest

from carfront.datasets.bundle_source import BundleSource
from carfront.errors import BadRequest, DataSetError
from server.bundle.latents import latents
from server.runtime.plans import Plan
from server.runtime.session import Session
from tests.small_model import conditional_model_of, small_model, small_model_of

SEEDS = range(2**64 - 300, 2**64)


@pytest.fixture
def bundle(tmp_path):
    return small_model(tmp_path / "models")


def run_alone(bundle, batch, classes=None):
    session = Session(bundle / "generator.onnx", Plan("cpu", "f32"), threads=1)
    return session.run(batch) if classes is None else session.run(batch, classes)


def source_of(bundle, **options):
    return BundleSource(bundle, "cpu", "f32", **options)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 300])
def test_images_are_those_of_their_seeds_in_any_number(bundle, n):
    source = source_of(bundle)
    images = source.draw(SEEDS[:n])
    np.testing.assert_array_equal(images, run_alone(bundle, latents(SEEDS[:n], 100)))


def test_lineage_is_the_manifests(bundle):
    line = source_of(bundle, truncation=0.5).lineage
    assert (line.plan, line.seed_rule, line.truncation) == ("cpu/f32", 1, 0.5)
    assert int(line.bundle, 16) > 0


def test_latents_are_multiplied_by_the_truncation(bundle):
    images = source_of(bundle, truncation=0.5).draw(SEEDS)
    halves = latents(SEEDS, 100) * np.float32(0.5)
    np.testing.assert_array_equal(images, run_alone(bundle, halves))


@pytest.mark.parametrize(("named", "classes"), [(None, None), ("dog", 1), ("2", 2)])
def test_images_have_the_class_that_is_named_or_their_seeds(tmp_path, named, classes):
    folder = conditional_model_of(tmp_path, "animals", ["cat", "dog", "cow"])
    images = source_of(folder, class_=named).draw(SEEDS)
    wanted = np.array([seed % 3 if classes is None else classes for seed in SEEDS])
    np.testing.assert_array_equal(images, run_alone(folder, latents(SEEDS, 100), wanted))


def test_an_unknown_class_is_the_servers_sentence(tmp_path, bundle):
    with pytest.raises(BadRequest, match="class is 'dog'; wanted none"):
        source_of(bundle, class_="dog")


def test_blocks_of_large_images_are_small(tmp_path):
    source = source_of(small_model_of(tmp_path, "large", [128, 128, 3]))
    assert source.block * 128 * 128 * 3 <= 8_000_000


@pytest.mark.parametrize(
    ("options", "said"),
    [({"precision": "int9"}, "no precision int9"), ({"provider": "abacus"}, "abacus")],
)
def test_what_cannot_run_it_is_a_sentence(bundle, options, said):
    with pytest.raises(DataSetError, match=said):
        BundleSource(bundle, **options)


def test_no_bundle_is_a_sentence(tmp_path):
    with pytest.raises(DataSetError, match="manifest"):
        BundleSource(tmp_path / "nothing")
