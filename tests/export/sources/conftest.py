"""Generators as other people build and keep them, narrow, and the way in without new processes."""

import warnings

import keras
import numpy as np
import pytest

from export.config import SourceOptions
from export.sources import intake, read

WIDTH = 16
"""The channels of every network here."""
GAIN = 1.6
"""The factor of their weights."""


def spread(model):
    """``model`` with weights whose images differ: as initialised, they are nearly one grey."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            w * GAIN if w.ndim > 1 else w + rng.uniform(0, 0.2, w.shape).astype(w.dtype)
            for w in model.get_weights()
        ]
    )
    return model


def keep(model, path):
    """Save ``model`` at ``path``; Keras 3 does so with what NumPy calls deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(3)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, in_this_process):
    """Read in this process, too, where TensorFlow is loaded already."""

    def reader(_source, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read.main([str(folder)])

    monkeypatch.setattr(intake, "_run_reader", reader)


@pytest.fixture
def take_in(tmp_path_factory):
    """The run that becomes of the file at a path."""

    def run(path, **options):
        asked = SourceOptions(**options)
        source = intake.open_source(path, asked)
        return intake.take_in(source, asked, tmp_path_factory.mktemp("scratch"))

    return run
