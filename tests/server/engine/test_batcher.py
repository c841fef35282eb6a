"""The queue's policy, on a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.batcher import Batcher, Job
from server.errors import QueueFull

NEVER = float("inf")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def batcher(clock):
    return Batcher(max_batch_size=64, max_queue_rows=16384, clock=clock)


def add(batcher, rows, deadline=NEVER, bulk=False):
    job = Job(rows, deadline, bulk=bulk)
    batcher.add(job)
    return job


def rows_of(batch, job):
    return sum(part.rows for part in batch.slices if part.job is job)


def test_partial_batch_leaves_at_once_when_the_engine_is_idle(batcher):
    add(batcher, 3)
    assert batcher.take().rows == 3


def test_empty_queue_gives_an_empty_batch(batcher):
    assert batcher.take().slices == []


def test_requests_that_wait_become_one_batch(batcher):
    jobs = [add(batcher, 1) for _ in range(30)]
    batch = batcher.take()
    assert batch.rows == 30
    assert [part.job for part in batch.slices] == jobs


def test_nothing_is_due_while_nothing_waits(batcher):
    assert batcher.due_in_s() is None
    batcher.drop(add(batcher, 3))
    assert batcher.due_in_s() is None


def test_what_waits_is_due_at_once_unless_a_delay_is_set(batcher):
    add(batcher, 3)
    assert batcher.due_in_s() == 0


def test_partial_batch_waits_for_more_no_longer_than_the_delay(clock):
    batcher = Batcher(64, 16384, clock, max_delay_s=0.01)
    clock.now = 5.0
    add(batcher, 3)
    assert batcher.due_in_s() == pytest.approx(0.01)
    clock.now += 0.004
    add(batcher, 3)
    assert batcher.due_in_s() == pytest.approx(0.006)  # the first one's delay counts
    clock.now += 0.007
    assert batcher.due_in_s() == 0
    assert batcher.take().rows == 6
    assert batcher.due_in_s() is None


def test_full_batch_waits_for_nothing_and_what_is_left_of_it_for_no_second_time(clock):
    batcher = Batcher(64, 16384, clock, max_delay_s=0.01)
    add(batcher, 100)
    assert batcher.due_in_s() == 0
    clock.now += 0.02
    batcher.take()
    assert batcher.due_in_s() == 0


def test_small_request_rides_in_the_next_batch_beside_a_big_one(batcher):
    big = add(batcher, 4096)
    batcher.take()
    small = add(batcher, 1)
    batch = batcher.take()
    assert rows_of(batch, small) == 1
    assert rows_of(batch, big) == 63


def test_small_requests_leave_bulk_a_quarter_of_each_batch(batcher):
    big = add(batcher, 4096)
    for _ in range(200):
        add(batcher, 1)
    assert rows_of(batcher.take(), big) == 16


def test_small_requests_have_the_whole_batch_when_there_is_no_bulk(batcher):
    for _ in range(200):
        add(batcher, 1)
    assert batcher.take().rows == 64


def test_bulk_that_needs_less_than_its_quarter_keeps_no_more(batcher):
    bulk = add(batcher, 9)
    for _ in range(200):
        add(batcher, 1)
    batch = batcher.take()
    assert rows_of(batch, bulk) == 9
    assert batch.rows == 64


def test_big_requests_take_turns_of_one_batch_each(batcher):
    first, second = add(batcher, 4096), add(batcher, 4096)
    turns = [batcher.take().slices[0].job for _ in range(4)]
    assert turns == [first, second, first, second]


def test_bulk_requests_take_a_quarter_of_what_others_do(batcher):
    patient, eager = add(batcher, 4096, bulk=True), add(batcher, 4096)
    batches = [batcher.take() for _ in range(40)]
    assert all(batch.rows == 64 for batch in batches), "capacity was left unused"
    assert sum(rows_of(batch, patient) for batch in batches) == 40 * 64 // 5
    assert sum(rows_of(batch, eager) for batch in batches) == 4 * 40 * 64 // 5


def test_small_bulk_requests_do_not_take_the_express_lane(batcher):
    add(batcher, 4096)
    patient = [add(batcher, 1, bulk=True) for _ in range(100)]
    eager = add(batcher, 1)
    batch = batcher.take()
    assert rows_of(batch, eager) == 1
    assert sum(rows_of(batch, job) for job in patient) == 0


def test_bulk_requests_alone_have_the_whole_batch(batcher):
    job = add(batcher, 1000, bulk=True)
    assert rows_of(batcher.take(), job) == 64


def test_turn_cut_short_by_a_full_batch_goes_on_in_the_next(batcher):
    first, second = add(batcher, 40), add(batcher, 64)
    batcher.take()
    batch = batcher.take()
    assert first.left == 0
    assert rows_of(batch, second) == 40
    assert second.left == 0


def test_expired_request_never_costs_inference(batcher, clock):
    late, fine = add(batcher, 5, deadline=1.0), add(batcher, 2, deadline=9.0)
    clock.now = 1.0
    batch = batcher.take()
    assert batch.expired == [late]
    assert [part.job for part in batch.slices] == [fine]
    assert batcher.rows == 0


def test_rest_of_a_running_request_expires_too(batcher, clock):
    job = add(batcher, 100, deadline=1.0)
    assert batcher.take().rows == 64
    clock.now = 2.0
    assert batcher.take().expired == [job]
    assert batcher.rows == 0


def test_dropped_request_is_not_run_and_not_counted(batcher):
    gone, stays = add(batcher, 100), add(batcher, 1)
    batcher.take()
    batcher.drop(gone)
    batcher.drop(gone)
    assert batcher.rows == 0
    assert stays.left == 0
    assert batcher.take().slices == []


def test_queue_at_its_limit_refuses_and_says_when_to_come_again(clock):
    batcher = Batcher(64, 4096, clock)
    batcher.observe(rows=64, seconds=0.064)
    add(batcher, 4000)
    with pytest.raises(QueueFull) as full:
        add(batcher, 1096)
    assert (full.value.rows, full.value.limit) == (4000, 4096)
    assert full.value.retry_after_s == pytest.approx(1.0)  # 1,000 rows too many at 1,000 rows/s
    add(batcher, 96)


def test_request_that_would_be_late_is_refused_at_once(batcher):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000)
    with pytest.raises(QueueFull) as full:
        add(batcher, 10, deadline=5.0)
    assert (full.value.wait_s, full.value.retry_after_s) == (10.0, 5.0)
    add(batcher, 10, deadline=11.0)


def test_small_request_is_refused_for_what_is_ahead_of_it_only(batcher):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000)
    for _ in range(75):
        add(batcher, 1, deadline=1.5)  # 75 rows at three quarters of the rate: one second
    with pytest.raises(QueueFull):
        add(batcher, 1, deadline=0.9)
    while batcher.take().rows:
        pass
    add(batcher, 1, deadline=0.1)
    assert batcher.rows == 1


def test_small_batches_do_not_tell_how_fast_a_queue_drains(batcher):
    batcher.observe(rows=1, seconds=1.0)
    assert batcher.drain_rate is None
    batcher.observe(rows=32, seconds=1.0)
    assert batcher.drain_rate == 32


def test_drain_rate_follows_recent_batches_slowly(batcher):
    batcher.observe(100, 1.0)
    batcher.observe(200, 1.0)
    assert batcher.drain_rate == pytest.approx(110)


def test_queue_delay_counts_from_arrival_to_the_first_rows(batcher, clock):
    clock.now = 1.0
    job = add(batcher, 100)
    clock.now = 3.0
    batcher.take()
    clock.now = 4.0
    batcher.take()
    assert (job.arrived, job.started) == (1.0, 3.0)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 100))
def test_every_row_runs_once_in_order_and_no_batch_is_too_big(sizes, max_batch_size):
    batcher = Batcher(max_batch_size, 10**6, Clock())
    jobs = [add(batcher, rows) for rows in sizes]
    seen = {id(job): 0 for job in jobs}
    waiting = sum(sizes)
    while batcher.rows:
        batch = batcher.take()
        assert batch.rows == min(max_batch_size, waiting), "the engine had work and was not filled"
        waiting -= batch.rows
        for part in batch.slices:
            assert part.start == seen[id(part.job)]
            seen[id(part.job)] += part.rows
    assert seen == {id(job): job.rows for job in jobs}
