"""Percentiles of what was measured, which are values that were measured."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of ``values`` that ``percent`` of them, 0 to 100, do not exceed.

    It is not rounded, and 0 if there are none. ``numpy.percentile`` computes the rank in float64:
    p99.9 of 1,000 would be the largest.
    """
    found = np.asarray(values)
    if not len(found):
        return 0.0
    rank = max(1, ceil(Fraction(str(percent)) * len(found) / 100))
    return float(np.partition(found, rank - 1)[rank - 1])
