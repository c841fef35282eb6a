"""Real photographs, fetched once, and a run of a few steps on a few of them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from training.data import load_images


@pytest.fixture(scope="session")
def photographs():
    return load_images("cifar10-cars")
