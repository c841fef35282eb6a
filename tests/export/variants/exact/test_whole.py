"""Weights as whole numbers: no sum of any of their terms is beyond what float32 adds exactly."""

import numpy as np
import pytest

from export.variants.exact.whole import FACTORS, LIMIT, fitting, reach, to_whole


def test_reach_is_the_largest_sum_of_any_of_the_terms():
    weights = np.array([[3.0, -2.0, 0.5]])
    factors = np.array(np.meshgrid(*[[-1.0, 0.0, 4.0]] * 3)).reshape(3, -1)
    assert reach(weights, -1.0, 4.0) == [np.abs(weights @ factors).max()] == [16.0]


def test_reach_counts_the_zeros_of_padding():
    assert reach(np.array([[1.0, -1.0]]), 2.0, 3.0) == [3.0]


@pytest.mark.parametrize("feedback", [False, True])
def test_rounded_weights_are_whole_and_as_fine_as_their_sums_allow(feedback):
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(5, 64)), rng.normal(size=(5, 2))
    moment = np.cov(rng.normal(size=(64, 64)) @ rng.normal(size=(64, 500))) if feedback else None
    groups = [(slice(0, 32), -100.0, 1000.0), (slice(32, 64), -5.0, 5.0)]
    rounded, steps = to_whole(weights, bias, groups, moment)
    assert np.array_equal(np.exp2(np.round(np.log2(steps))), steps)
    for place, (columns, low, high) in enumerate(groups):
        own, step = rounded[:, columns], steps[:, place]
        assert np.array_equal(np.rint(own / step[:, None]), own / step[:, None])
        share = (reach(own, low, high) + np.abs(bias[:, place])) / step / LIMIT
        assert (share <= 1).all() and (share > 0.4).all()


def test_roundings_make_up_for_each_other_where_factors_go_together():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2000, 8)) @ rng.normal(size=(8, 64)) * 300
    weights, bias = rng.normal(size=(16, 64)), np.zeros((16, 1))
    groups = [(slice(0, 64), -4000.0, 4000.0)]
    moment = factors.T @ factors / len(factors)
    wrong = {
        kind: np.square(factors @ (to_whole(weights, bias, groups, each)[0] - weights).T).mean()
        for kind, each in (("plain", None), ("feedback", moment))
    }
    assert wrong["feedback"] < 0.1 * wrong["plain"]


def test_sums_that_fit_use_nearly_all_that_float32_holds():
    sizes = np.random.default_rng(3).uniform(10.0, 1e9, (200, 1))
    factors = fitting(sizes, 4.0)
    assert ((factors >= 4) & (factors < 8)).all()

    def share(factors):
        used = sizes[:, 0] * factors / LIMIT
        return used / np.exp2(np.ceil(np.log2(used)))

    assert 0.97 < share(factors).min() <= share(factors).max() <= 1
    assert share(4.0).min() < 0.6


def test_sums_of_several_groups_share_a_factor_that_is_best_for_their_steps():
    sizes = np.array([[0.9, 0.4], [0.6, 0.6]]) * LIMIT

    def steps(factors):
        found = np.exp2(np.ceil(np.log2(sizes * factors[:, None] / LIMIT))) / factors[:, None]
        return np.square(found).sum(axis=1)

    found = steps(fitting(sizes, 1.0))
    for other in FACTORS:
        assert (found <= steps(np.full(2, other)) * (1 + 1e-6)).all()
