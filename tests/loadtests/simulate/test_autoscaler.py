"""The autoscaler does what Kubernetes' own would."""

import pytest

from loadtests.simulate.autoscaler import (
    Autoscaler,
    PodMetric,
    Rules,
    Step,
    external,
    pods,
    resource,
)

FAST = Rules(0, (Step("Percent", 1000, 15),))


def of(*values):
    return [PodMetric(value) for value in values]


@pytest.mark.parametrize(
    ("values", "target", "wanted"),
    [
        ((1.0, 1.0), 1.0, 2),
        ((1.09, 1.09), 1.0, 2),  # within the tolerance
        ((1.11, 1.11), 1.0, 3),
        ((0.9, 0.9), 1.0, 2),
        ((0.4, 0.4), 1.0, 1),
        ((2.0, 2.0), 1.0, 4),
        ((2.0, 0.0), 1.0, 2),
    ],
)
def test_utilization_is_averaged_over_pods_and_small_misses_are_tolerated(values, target, wanted):
    assert resource(of(*values), target, len(values)) == wanted


def test_starting_pods_count_as_idle_when_more_are_asked_for():
    starting = [PodMetric(None, is_ready=False)] * 2
    assert resource([*of(1.5, 1.5), *starting], 1.0, 4) == 4  # would be idle: no change
    assert resource([*of(3.0, 3.0), *starting], 1.0, 4) == 6
    assert resource(of(3.0, 3.0), 1.0, 2) == 6


def test_starting_pods_do_not_count_when_fewer_are_asked_for():
    starting = [PodMetric(None, is_ready=False)]
    assert resource([*of(0.2, 0.2, 0.2), *starting], 1.0, 4) == 1


def test_ready_pod_without_a_metric_uses_its_request_when_fewer_are_asked_for():
    assert resource(of(0.2, 0.2), 1.0, 2) == 1
    assert resource(of(0.2, 0.2, None), 1.0, 3) == 2
    assert pods(of(0.1, 0.1, None), 0.5, 3) == 2


def test_nothing_is_asked_for_without_any_metric():
    assert resource([PodMetric(None, is_ready=False)], 1.0, 1) is None
    assert external(None, 0.7, 3) is None


def test_external_metric_is_divided_by_its_target_whatever_runs():
    assert external(2.1, 0.7, 3) == 3
    assert external(2.3, 0.7, 3) == 3  # 3.29 for 3 is within the tolerance
    assert external(2.4, 0.7, 3) == 4
    assert external(0.0, 0.7, 3) == 0


def test_largest_proposal_counts_between_the_bounds():
    scaler = Autoscaler(2, 10, FAST, FAST)
    assert scaler.replicas(0, 3, [4, 6]) == 6
    assert scaler.replicas(15, 6, [40]) == 10
    assert scaler.replicas(30, 10, [0]) == 2


def test_missing_metric_forbids_a_scale_down_only():
    scaler = Autoscaler(1, 10, FAST, FAST)
    assert scaler.replicas(0, 4, [2, None]) == 4
    assert scaler.replicas(15, 4, [6, None]) == 6
    assert scaler.replicas(30, 6, [None]) == 6


def test_scale_down_waits_for_the_highest_recommendation_of_its_window():
    scaler = Autoscaler(1, 10, FAST, Rules(300, (Step("Pods", 10, 15),)))
    assert scaler.replicas(0, 5, [5]) == 5
    assert [scaler.replicas(at, 5, [2]) for at in (15, 150, 285)] == [5, 5, 5]
    assert scaler.replicas(301, 5, [2]) == 2


def test_scale_up_waits_for_the_lowest_recommendation_of_its_window():
    scaler = Autoscaler(1, 10, Rules(60, (Step("Pods", 10, 15),)), FAST)
    assert scaler.replicas(0, 2, [2]) == 2
    assert scaler.replicas(15, 2, [6]) == 2
    assert scaler.replicas(61, 2, [6]) == 6


def test_percent_of_the_replicas_at_the_period_s_start_may_be_added():
    scaler = Autoscaler(1, 20, Rules(0, (Step("Percent", 100, 30),)), FAST)
    assert scaler.replicas(0, 2, [20]) == 4
    assert scaler.replicas(15, 4, [20]) == 4
    assert scaler.replicas(30, 4, [20]) == 8


def test_so_many_pods_a_period_may_go():
    scaler = Autoscaler(1, 20, FAST, Rules(0, (Step("Pods", 1, 60),)))
    assert scaler.replicas(0, 5, [1]) == 4
    assert scaler.replicas(45, 4, [1]) == 4
    assert scaler.replicas(60, 4, [1]) == 3
