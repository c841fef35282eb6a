"""Several processes draw as one; here each has the processors in place of a GPU."""

import os
import pickle
import signal

import numpy as np
import pytest

from carfront.datasets.bundle_source import BundleSource
from carfront.datasets.gpus_source import GpusSource, source_of
from carfront.errors import BadRequest, DataSetError
from tests.small_model import small_model

SEEDS = range(500, 1100)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def source(bundle):
    source = GpusSource(2, bundle, "cpu", "f32", 0.5, None)
    yield source
    source.close()


def test_processes_draw_what_one_draws(bundle, source):
    alone = BundleSource(bundle, "cpu", "f32", 0.5, None)
    assert (source.lineage, source.shape) == (alone.lineage, alone.shape)
    np.testing.assert_array_equal(source.draw(SEEDS), alone.draw(SEEDS))


def test_an_error_of_a_process_is_its_sentence(bundle):
    with pytest.raises(BadRequest, match="class is 'dog'; wanted none"):
        GpusSource(2, bundle, "cpu", "f32", 1.0, "dog")


def test_an_error_is_the_same_in_another_process():
    error = pickle.loads(pickle.dumps(BadRequest(400, "no", {"field": "class"})))
    assert (type(error), str(error), error.problem) == (BadRequest, "no", {"field": "class"})


def test_without_gpus_no_process_is_started(bundle):
    assert isinstance(source_of(bundle, "cpu", "f32", 1.0, None), BundleSource)


def test_a_process_that_dies_is_a_sentence(source):
    """It is the last test: the source is of no use afterwards."""
    for process in source._processes:
        os.kill(next(iter(process._processes)), signal.SIGKILL)
    with pytest.raises(DataSetError, match="the process of a GPU died; the same command goes on"):
        for _ in range(100):
            source.draw(SEEDS)
