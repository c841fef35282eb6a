"""Weights as whole numbers times powers of two, within what a sum in float32 can hold exactly."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LIMIT = 2.0**24
"""The largest whole number up to which float32 holds every one."""
SLACK = 1.02
"""The factor by which rounded weights may be larger together than those that were rounded."""
ROUNDING = 1 / 12
"""The variance of a rounding to whole numbers, in steps squared."""
FACTORS = np.exp2(np.arange(32) / 32)
"""The factors that are tried to have sums fit."""
BLOCK = 64
"""The number of columns after which an error is passed on to all later ones."""

Matrix = NDArray[np.float64]
Group = tuple[slice, float, float]
"""Columns of terms that are summed together, and the lowest and highest value of their factors."""


def reach(weights: Matrix, low: float, high: float) -> Matrix:
    """Return for each row the largest size of a sum of any of its terms, float64 [rows].

    ``weights`` is [rows, terms]; each factor is in [``low``, ``high``], or zero where a convolution
    is padded. Terms of one sign are largest together, so this bounds every partial sum, whatever
    the order.
    """
    plus, minus = np.maximum(weights, 0).sum(axis=1), np.maximum(-weights, 0).sum(axis=1)
    low, high = min(low, 0.0), max(high, 0.0)
    bound: Matrix = np.maximum(plus * high - minus * low, minus * high - plus * low)
    return bound


def to_whole(
    weights: Matrix, bias: Matrix, groups: Sequence[Group], moment: Matrix | None
) -> tuple[Matrix, Matrix]:
    """Return ``weights`` [rows, terms] rounded to steps, and the steps [rows, groups].

    A step is a power of two, the smallest with which no partial sum of a row's group exceeds
    ``LIMIT`` steps, the ``bias`` [rows, groups] among its terms. ``moment`` [terms, terms] is the
    mean product of each two factors: with it, the weights that are still to be rounded make up for
    the error of those that are. None rounds each weight by itself.

    Source: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers", arXiv:2210.17323.
    """
    factor, order = (None, slice(None)) if moment is None else _feedback(moment)
    bits = np.floor(np.log2(LIMIT / sizes_of(weights * SLACK, bias, groups)))
    while True:
        steps = np.exp2(-bits)
        wide = np.empty_like(weights)
        for place, (columns, _, _) in enumerate(groups):
            wide[:, columns] = steps[:, place, None]
        rounded = np.empty_like(weights)
        rounded[:, order] = _rounded(weights[:, order], wide[:, order], factor)
        over = sizes_of(rounded, bias, groups) + steps > LIMIT * steps
        if not over.any():
            return rounded, steps
        bits -= over


def fitting(sizes: Matrix, least: float) -> Matrix:
    """Return the factor, from ``least`` to its double, that is best for each row, [rows].

    ``sizes`` [rows, groups] are those of the largest sums. Multiplied, they come next to a power of
    two times what float32 holds, so that the steps of the weights are fine.
    """
    tried = least * FACTORS
    steps = [np.exp2(np.ceil(np.log2(sizes * factor / LIMIT))) / factor for factor in tried]
    best = np.argmin([np.square(each).sum(axis=1) for each in steps], axis=0)
    found: Matrix = tried[best].astype(np.float32).astype(np.float64)
    return found


def sizes_of(weights: Matrix, bias: Matrix, groups: Sequence[Group]) -> Matrix:
    """Return the largest size of a partial sum, float64 [rows, groups]."""
    sizes = np.stack([reach(weights[:, x], low, high) for x, low, high in groups], axis=1)
    return np.maximum(sizes + np.abs(bias), 2.0**-60)


def _feedback(moment: Matrix) -> tuple[Matrix, NDArray[np.intp]]:
    """Return the triangular factor by which an error moves later weights, and the order."""
    terms = len(moment)
    order = np.argsort(-np.diag(moment), kind="stable")
    damped = moment + np.eye(terms) * (ROUNDING + 1e-6 * np.trace(moment) / terms)
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    upper: Matrix = np.linalg.cholesky(inverse).T
    return upper, order


def _rounded(weights: Matrix, steps: Matrix, factor: Matrix | None) -> Matrix:
    if factor is None:
        return np.rint(weights / steps) * steps
    left, done, terms = weights.copy(), np.empty_like(weights), weights.shape[1]
    for start in range(0, terms, BLOCK):
        end = min(terms, start + BLOCK)
        errors = np.empty((len(weights), end - start))
        for i in range(start, end):
            done[:, i] = np.rint(left[:, i] / steps[:, i]) * steps[:, i]
            errors[:, i - start] = (left[:, i] - done[:, i]) / factor[i, i]
            left[:, i + 1 : end] -= errors[:, i - start, None] * factor[i, i + 1 : end]
        left[:, end:] -= errors @ factor[start:end, end:]
    return done
