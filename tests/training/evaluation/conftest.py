"""Real photographs in an order of their own: the data set comes sorted by its bytes."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shuffled(photographs):
    """Return the 6,000 photographs, shuffled, so that any slice is a fair sample of them."""
    return photographs[np.random.default_rng(0).permutation(len(photographs))]
