"""FID and KID: two distances between clouds of features, whatever the features are.

The module has pure functions on NumPy arrays; ``inception.py`` makes the features.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


class Kid(NamedTuple):
    """The kernel distance, times 1,000: its mean and its standard deviation over the subsets."""

    mean: float
    deviation: float


def frechet_distance(a: Features, b: Features) -> float:
    """Return the Frechet distance of the Gaussians that fit features [N, dim] and [M, dim].

    The distance is |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)). The trace of the root is the
    sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), a symmetric matrix with the spectrum
    of A B. Few images make the distance larger: only distances of equal counts can be compared.

    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
    Nash Equilibrium"; Dowson and Landau 1982 for the closed form.
    """
    mean_a, cov_a = _moments(a)
    mean_b, cov_b = _moments(b)
    values, basis = np.linalg.eigh(cov_a)
    root = (basis * np.sqrt(np.maximum(values, 0))) @ basis.T
    shared = np.linalg.eigvalsh(root @ cov_b @ root)
    overlap = np.sqrt(np.maximum(shared, 0)).sum()  # rounding can make a zero negative
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return float(max(distance, 0.0))


def kernel_distance(
    a: Features, b: Features, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Kid:
    """Return the unbiased squared maximum mean discrepancy of a cubic kernel, over random subsets.

    The expectation is 0 for two sets of one distribution, whatever the number of images; single
    values can be below 0. If a set is smaller than ``subset_size``, the subsets are as small.

    Source: Binkowski et al. 2018, "Demystifying MMD GANs".
    """
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(a), len(b))
    found = []
    for _ in range(subsets):
        some_a = a[rng.choice(len(a), size, replace=False)]
        some_b = b[rng.choice(len(b), size, replace=False)]
        found.append(1e3 * squared_discrepancy(some_a, some_b))
    return Kid(float(np.mean(found)), float(np.std(found)))


def squared_discrepancy(a: Features, b: Features) -> float:
    """Return the unbiased estimate of MMD^2 under the kernel (x . y / dim + 1)^3."""
    within = [_off_diagonal_mean(_kernel(x, x)) for x in (a, b)]
    return float(sum(within) - 2 * _kernel(a, b).mean(dtype=np.float64))


def _kernel(a: Features, b: Features) -> Features:
    kernel: Features = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


def _off_diagonal_mean(kernel: Features) -> float:
    count = len(kernel)
    total = kernel.sum(dtype=np.float64) - np.trace(kernel, dtype=np.float64)
    return float(total / (count * (count - 1)))


def _moments(features: Features) -> tuple[Features, Features]:
    features = features.astype(np.float64)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))
