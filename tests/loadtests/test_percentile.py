"""A percentile is one of the values, at the exact rank."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from loadtests.percentile import percentile


@pytest.mark.parametrize("percent", ["1", "7", "50", "90", "95", "99", "99.9", "99.99", "100"])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent):
    share = Fraction(percent) / 100
    for count in range(1, 1201):
        values = np.random.default_rng(count).permutation(count) + 1.0
        assert percentile(values, float(percent)) == max(1, ceil(share * count))


def test_nothing_is_rounded():
    values = [254.3, 1251.0, 0.31]
    assert [percentile(values, x) for x in (1, 50, 100)] == [0.31, 254.3, 1251.0]


def test_of_nothing_it_is_0():
    assert percentile([], 99) == 0.0
