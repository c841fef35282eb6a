"""``rate`` and ``histogram_quantile`` are those of Prometheus."""

import json
import math

import numpy as np
import pytest

from loadtests.simulate.prometheus import Series, histogram_quantile
from tests.k8s.promtool import promtool


def series(values, every_s=15.0):
    found = Series(60)
    for number, value in enumerate(values):
        found.append(number * every_s, np.array([float(value)]))
    return found


def test_rate_needs_two_samples():
    assert series([5]).rate(0, 60) is None


def test_rate_of_a_steady_counter_is_its_growth():
    assert series(range(0, 3000, 300)).rate(135, 60) == pytest.approx(20)


@pytest.mark.parametrize("at_s", [44, 52, 67, 82])
def test_rate_is_what_promtool_says(tmp_path, at_s):
    """A new pod's counter begins, and grows unevenly."""
    values = [0, 40, 400, 410, 900, 1700]
    rate = {"expr": "round(rate(x[1m]), 0.0001)", "eval_time": f"{at_s}s"}
    mine = series(values[: at_s // 15 + 1]).rate(at_s, 60)
    rate["exp_samples"] = [{"labels": "{}", "value": round(float(mine[0]), 4)}]
    case = {
        "interval": "15s",
        "input_series": [{"series": "x", "values": " ".join(map(str, values))}],
        "promql_expr_test": [rate],
    }
    (tmp_path / "case.yaml").write_text(json.dumps({"evaluation_interval": "1s", "tests": [case]}))
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "case.yaml")


def test_quantile_lies_on_a_line_within_its_bucket():
    assert histogram_quantile(0.5, (1.0, 2.0), np.array([0.0, 10, 0])) == pytest.approx(1.5)
    assert histogram_quantile(0.5, (1.0, 2.0), np.array([10.0, 0, 0])) == pytest.approx(0.5)


def test_quantile_beyond_the_last_bound_is_that_bound():
    assert histogram_quantile(0.99, (1.0, 2.0), np.array([1.0, 1, 98])) == 2


def test_quantile_of_nothing_is_no_number():
    assert math.isnan(histogram_quantile(0.99, (1.0, 2.0), np.zeros(3)))
