"""One replica: the server's own queue between HTTP workers and streams."""

from dataclasses import replace

import numpy as np
import pytest
import simpy

from loadtests.simulate.curve import curve_of, simulated
from loadtests.simulate.facts import Facts
from loadtests.simulate.replica import Replica, closed_loop

FACTS = Facts(
    processors=2,
    workers=2,
    streams=2,
    lone_threads=2,
    largest_batch=64,
    batch_seconds={1: 0.002, 64: 0.128},
    lone_seconds={1: 0.001, 8: 0.008},
    before_s=0.0001,
    after_s=0.0001,
    caller_s=0.0,
    start_s=1.0,
)


def test_lone_request_takes_the_sum_of_its_steps():
    env = simpy.Environment()
    replica = Replica(env, FACTS)
    env.process(replica.ask())
    env.run()
    assert replica.answers.latencies_s == pytest.approx([0.0012])
    assert replica.answers.queue_delays_s == [0]


def test_requests_that_come_while_batches_run_ride_together():
    env = simpy.Environment()
    replica = Replica(env, FACTS)
    for _ in range(12):
        env.process(replica.ask())
    env.run()
    assert len(replica.answers.latencies_s) == sum(replica.answers.batch_rows) == 12
    assert max(replica.answers.batch_rows) > 1


def test_saturated_replica_serves_what_its_processors_can():
    """An image takes 2 ms of inference and 0.2 ms beside it, on two processors."""
    curve = curve_of(FACTS)
    assert curve.capacity == pytest.approx(2 / 0.0022, rel=0.05)
    assert curve.full.cpu == pytest.approx(2, rel=0.05)
    assert curve.full.estimate == pytest.approx(1000, rel=0.1)


def test_latency_grows_with_the_load_and_is_the_same_each_time():
    low, high = (simulated(FACTS, rate, 3.0) for rate in (90, 800))
    assert np.all(low.latencies_s < high.latencies_s)
    again = simulated(FACTS, 800, 3.0)
    assert np.array_equal(high.latencies_s, again.latencies_s)


def test_callers_on_the_same_processors_take_their_part():
    env = simpy.Environment()
    replica = Replica(env, replace(FACTS, caller_s=0.0022))
    for _ in range(64):
        env.process(closed_loop(replica))
    env.run(2)
    assert replica.server_cpu_s < 0.6 * replica.processors.busy_s


def test_capacity_is_told_only_once_batches_are_half_full():
    """The engine measures no smaller ones: an autoscaler sees 0 until the first queue."""
    curve = curve_of(FACTS)
    assert [curve.at(share).estimate for share in (0.1, 0.5)] == [0, 0]
