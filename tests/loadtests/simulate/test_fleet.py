"""A fleet under its autoscaler: pods that start, queues that grow, metrics that are late."""

import numpy as np
import pytest
import simpy

from loadtests.simulate.autoscaler import Autoscaler, Rules, Step
from loadtests.simulate.curve import STEPS, Curve, Point
from loadtests.simulate.fleet import Cluster, Fleet
from loadtests.simulate.signals import CapacityUsed, Cpu, Pod, QueueDelay, Seen
from loadtests.simulate.traffic import Traffic

FAST = Rules(0, (Step("Percent", 1000, 15),))
SLOW = Rules(300, (Step("Pods", 1, 60),))


def point(share):
    return Point(np.full(99, 0.01), np.full(99, 0.001), cpu=2 * share, estimate=0.0)


def curve():
    points = tuple(point(number / STEPS) for number in range(STEPS))
    full = Point(np.full(99, 0.01), np.full(99, 0.001), cpu=2.0, estimate=120.0)
    return Curve(100.0, full, points)


def run(load, seconds, signal, least=2, most=10, starts_in_s=10.0):
    env = simpy.Environment()
    traffic = Traffic("test", seconds, load, every_s=1.0)
    cluster = Cluster(starts_in_s, least, most)
    scaler = Autoscaler(least, most, FAST, SLOW)
    fleet = Fleet(env, curve(), traffic, cluster, scaler, [signal])
    env.run(seconds)
    return fleet.outcome


def test_load_that_fits_is_in_time_and_changes_nothing():
    outcome = run(lambda at: 1.0, 600, Cpu(1.0))
    assert outcome.late == outcome.changes == 0
    assert outcome.requests == pytest.approx(60_000, rel=0.02)
    assert outcome.replica_hours == pytest.approx(2 * 600 / 3600, rel=0.01)


def test_too_much_load_waits_until_new_pods_serve():
    quick, slow = (run(lambda at: 4.0, 600, Cpu(1.0), starts_in_s=s) for s in (10, 120))
    assert min(quick.most, slow.most) > 4
    assert 0 < quick.late < slow.late


def test_queue_is_refused_once_it_is_longer_than_a_request_may_wait():
    outcome = run(lambda at: 4.0, 600, Cpu(1.0), most=2)
    assert outcome.refused > 0.4 * outcome.requests
    assert outcome.late > outcome.refused


def test_share_of_capacity_says_nothing_before_an_engine_has_measured_its_own():
    calm = run(lambda at: 1.8, 600, CapacityUsed(0.7))
    assert calm.most == 2
    busy = run(lambda at: 2.4 if at < 120 else 1.8, 600, CapacityUsed(0.7))
    assert busy.most > 2


def test_queue_delay_sees_a_queue_and_nothing_else():
    assert run(lambda at: 1.4, 600, QueueDelay(0.1)).most == 2
    assert run(lambda at: 2.5, 600, QueueDelay(0.1)).most > 2


def test_samples_of_a_pod_that_left_count_for_a_while():
    pods = [Pod(0.0), Pod(0.0)]
    for pod in pods:
        pod.estimate = 100.0
        for at in (0, 15, 30, 45):
            pod.images = 70.0 * at
            pod.scrape(at)
    both = CapacityUsed(0.7).proposal(Seen(50, pods, []))
    assert CapacityUsed(0.7).proposal(Seen(50, pods[:1], pods[1:])) == both == 2
    assert CapacityUsed(0.7).proposal(Seen(50, pods[:1], [])) == 1


def test_no_replica_is_no_metric():
    assert CapacityUsed(0.7).proposal(Seen(0, [Pod(10.0)], [])) is None
    assert QueueDelay(0.1).proposal(Seen(0, [Pod(10.0)], [])) is None
