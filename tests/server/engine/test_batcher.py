"""The queue's policy, on a clock that the test moves."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.admission import LEAST_MARGIN, MARGIN
from server.engine.batcher import FRESH_S, MOST_DONE, Batcher, QueuedRequest
from server.errors import QueueFull
from tests.clock import Clock

NEVER = float("inf")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def batcher(clock):
    return Batcher(max_batch_size=64, max_queue_rows=16384, clock=clock)


def add(batcher, rows, deadline=NEVER, bulk=False):
    request = QueuedRequest(rows, deadline, bulk=bulk)
    batcher.add(request)
    return request


def rows_of(batch, request):
    return sum(part.rows for part in batch.slices if part.request is request)


def test_partial_batch_leaves_at_once_when_the_engine_is_idle(batcher):
    add(batcher, 3)
    assert batcher.take().rows == 3


def test_empty_queue_gives_an_empty_batch(batcher):
    assert batcher.take().slices == []


def test_requests_that_wait_become_one_batch(batcher):
    requests = [add(batcher, 1) for _ in range(30)]
    batch = batcher.take()
    assert batch.rows == 30
    assert [part.request for part in batch.slices] == requests


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


def test_partial_batch_leaves_in_time_for_the_first_deadline(clock):
    batcher = Batcher(64, 16384, clock, max_delay_s=1.0)
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 10)
    done = add(batcher, 10, deadline=0.5)
    assert batcher.due_in_s() == pytest.approx(0.5 - MARGIN * 0.2)
    batcher.drop(done)
    assert batcher.due_in_s() == pytest.approx(1.0)


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


def test_bulk_fills_less_of_a_batch_while_small_requests_come(clock):
    batcher = Batcher(64, 16384, clock, mixed_batch_size=32)
    big = add(batcher, 4096)
    assert batcher.take().rows == 64
    small = add(batcher, 1)
    batch = batcher.take()
    assert (rows_of(batch, small), rows_of(batch, big)) == (1, 31)
    clock.now += 0.9
    assert rows_of(batcher.take(), big) == 32  # the next small one may come any moment
    clock.now += 0.2
    assert rows_of(batcher.take(), big) == 64  # none has for a second


def test_many_small_requests_fill_a_whole_batch_and_leave_bulk_its_quarter(clock):
    batcher = Batcher(64, 16384, clock, mixed_batch_size=32)
    big = add(batcher, 4096)
    for _ in range(200):
        add(batcher, 1)
    batch = batcher.take()
    assert (batch.rows, rows_of(batch, big)) == (64, 16)


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


def ends(batcher, requests):
    """Return after how many batches each of ``jobs`` is done."""
    batches, found = 0, {}
    while len(found) < len(requests):
        batcher.take()
        batches += 1
        found |= {
            i: batches for i, request in enumerate(requests) if not request.left and i not in found
        }
    return [found[i] for i in range(len(requests))]


def test_equal_requests_run_one_after_the_other(batcher):
    assert ends(batcher, [add(batcher, 640) for _ in range(3)]) == [10, 20, 30]


def test_big_request_lets_a_smaller_one_go_first(batcher):
    big, small = add(batcher, 640), add(batcher, 64)
    assert ends(batcher, [small, big]) == [1, 11]


def test_request_that_is_nearly_done_lets_nobody_go_first(batcher):
    big = add(batcher, 640)
    for _ in range(9):
        batcher.take()
    assert ends(batcher, [add(batcher, 128), big]) == [3, 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(9, 400)), min_size=1, max_size=30))
def test_no_request_ends_later_than_if_all_took_turns(arrivals):
    """A row a batch, so that the two can be compared row by row."""
    batcher = Batcher(1, 10**6, Clock())
    requests, turns, passed = [], {}, 0
    late = []

    def run():
        """One row here, and a row's worth of turns there."""
        nonlocal passed
        batcher.take()
        passed += 1
        left = 1.0
        while left > 1e-9 and turns:
            least = min(turns.values())
            each = min(left / len(turns), least)
            left -= each * len(turns)
            for index in list(turns):
                turns[index] -= each
                if turns[index] <= 1e-6:
                    del turns[index]
                    late.extend([index] if requests[index].left else [])

    for pause, rows in arrivals:
        for _ in range(pause * 50):
            run()
        turns[len(requests)] = float(rows)
        requests.append(add(batcher, rows))
    while batcher.rows:
        run()
    assert late == []


def test_request_said_to_be_bulk_has_a_quarter_of_the_share(batcher):
    """Side by side, the patient one would be done when 4 x 640 rows of an eager one have run."""
    patient = add(batcher, 640, bulk=True)
    eager = [add(batcher, 640) for _ in range(4)]
    assert ends(batcher, [patient, *eager]) == [50, 10, 20, 30, 40]
    patient = add(batcher, 160, bulk=True)
    eager = [add(batcher, 640) for _ in range(4)]
    assert ends(batcher, [patient, *eager])[0] == 3


def test_small_bulk_requests_do_not_take_the_express_lane(batcher):
    patient = [add(batcher, 1, bulk=True) for _ in range(100)]
    eager = [add(batcher, 1) for _ in range(48)]
    batch = batcher.take()
    assert sum(rows_of(batch, request) for request in eager) == 48
    assert sum(rows_of(batch, request) for request in patient) == 16


def test_bulk_requests_alone_have_the_whole_batch(batcher):
    request = add(batcher, 1000, bulk=True)
    assert rows_of(batcher.take(), request) == 64


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
    assert [part.request for part in batch.slices] == [fine]
    assert batcher.rows == 0


def test_request_that_cannot_be_done_in_time_any_more_costs_no_more_inference(batcher, clock):
    request = add(batcher, 1000, deadline=20.0)
    batcher.observe(rows=100, seconds=1.0)
    assert batcher.take().rows == 64
    clock.now = 12.0  # 936 rows take 9.36 seconds
    assert batcher.take().expired == [request]


def test_expired_request_is_found_wherever_it_waits(batcher, clock):
    first, behind = add(batcher, 200), add(batcher, 300, deadline=1.0)
    small = [add(batcher, 8) for _ in range(20)]
    small_behind = add(batcher, 8, deadline=1.0)
    clock.now = 1.0
    batch = batcher.take()
    assert set(batch.expired) == {behind, small_behind}
    assert batcher.rows + batch.rows == 200 + 160
    assert not first.gone
    assert not any(request.gone for request in small)


def test_deadlines_of_what_has_run_are_not_kept(batcher):
    for _ in range(1000):
        while batcher.rows < 1000:
            add(batcher, 4096)
        add(batcher, 1, deadline=1e6)
        batcher.take()
    assert len(batcher._deadlines) < 2 * MOST_DONE
    while batcher.rows:
        batcher.take()
    assert batcher._deadlines == []


def test_request_that_cannot_be_done_in_time_is_refused_where_nothing_waits_too(batcher):
    batcher.observe(rows=100, seconds=1.0)
    with pytest.raises(QueueFull) as full:
        add(batcher, 1000, deadline=9.0)
    assert full.value.queue.retry_after_s == pytest.approx(1.0)
    assert str(full.value) == (
        "0 images are waiting (limit 16384), but the wanted ones take about 10.0 s; "
        "allow more time, or ask for fewer"
    )
    add(batcher, 1000, deadline=10.5)


def test_rate_that_was_measured_long_ago_keeps_nobody_from_running(batcher, clock):
    """The machine stood still for a while."""
    batcher.observe(rows=64, seconds=1000.0)
    with pytest.raises(QueueFull):
        add(batcher, 4096, deadline=1.0)
    clock.now = FRESH_S
    add(batcher, 4096, deadline=FRESH_S + 1.0)
    assert batcher.take().rows == 64


def test_engine_that_stood_still_refuses_for_a_while_only(batcher, clock):
    """So few are let in then that the queue is never long enough to be measured again."""
    batcher.observe(rows=64, seconds=0.01)
    for _ in range(8):
        add(batcher, 64)
    batcher.take()
    clock.now += 4.0  # the machine stood still
    while batcher.rows:
        batcher.take()
        clock.now += 0.01
    assert batcher.drain_rate < 100

    def burst():
        accepted = 0
        for _ in range(14):
            with contextlib.suppress(QueueFull):
                add(batcher, 64, deadline=clock.now + 1.0)
                accepted += 1
        while rows := batcher.take().rows:
            clock.now += 0.01
            batcher.observe(rows, 0.01)
        return accepted

    assert burst() < 14
    clock.now += FRESH_S
    assert burst() == 14


def test_accepted_request_is_not_refused_by_another_engine(batcher):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000)
    request = QueuedRequest(1000, deadline=15.0)
    with pytest.raises(QueueFull):
        batcher.add(request)
    batcher.add(request, accepted=True)
    assert batcher.rows == 2000


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_bulk_has_its_quarter_of_small_batches_too(clock, size):
    batcher = Batcher(size, 16384, clock)
    big = add(batcher, 4000)
    for _ in range(400):
        while batcher._express_rows < 2 * size:
            add(batcher, 1)
        batcher.take()
    assert big.taken == pytest.approx(400 * size / 4, abs=1)


def test_rest_of_a_running_request_expires_too(batcher, clock):
    request = add(batcher, 100, deadline=1.0)
    assert batcher.take().rows == 64
    clock.now = 2.0
    assert batcher.take().expired == [request]
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
    assert full.value.queue[:2] == (4000, 4096)
    assert full.value.queue.retry_after_s == pytest.approx(
        1.0
    )  # 1,000 rows too many at 1,000 rows/s
    add(batcher, 96)


@pytest.mark.parametrize("rows", [1, 9, 200])
def test_queue_that_is_full_of_larger_requests_takes_smaller_ones(clock, rows):
    batcher = Batcher(64, 16384, clock)
    for _ in range(4):
        add(batcher, 4096)
    with pytest.raises(QueueFull):
        add(batcher, 4096)
    small = [add(batcher, rows) for _ in range(4)]
    while any(request.left for request in small):
        batcher.take()
    assert batcher.rows > 3 * 4096


def test_smaller_requests_that_fill_their_part_of_the_queue_are_refused_too(clock):
    batcher = Batcher(64, 16384, clock)
    for _ in range(4):
        add(batcher, 4096)
    for _ in range(4096 // 16):
        add(batcher, 16)
    with pytest.raises(QueueFull):
        add(batcher, 16)


def draws(batcher, clock, seconds, express_rows=0):
    """Have batches of 64 rows run for ``seconds``, 1,000 rows a second of which some are small."""
    ends = clock.now + seconds
    while clock.now < ends:
        for _ in range(express_rows):
            add(batcher, 1)
        clock.now += max(batcher.take().rows, 1) / 1000
        batcher.observe(64, 0.064)


@pytest.mark.parametrize("express_rows", [0, 20, 60])
def test_refused_request_is_accepted_if_it_comes_again_when_it_was_told_to(
    batcher, clock, express_rows
):
    for _ in range(10):
        add(batcher, 1024)
    draws(batcher, clock, 6.0, express_rows)

    def ask():
        return add(batcher, 2048, deadline=clock.now + 15.0)

    with pytest.raises(QueueFull) as full:
        while True:
            ask()
    draws(batcher, clock, full.value.queue.retry_after_s / 3, express_rows)
    with pytest.raises(QueueFull):
        ask()
    draws(batcher, clock, full.value.queue.retry_after_s * 2 / 3, express_rows)
    request = ask()
    draws(batcher, clock, 15.0, express_rows)
    assert not request.left


def test_request_that_smaller_ones_would_make_late_keeps_them_out_until_it_has_time_to_spare(
    batcher, clock
):
    add(batcher, 64 * 16)
    draws(batcher, clock, 1.0)
    first = add(batcher, 2000, deadline=clock.now + 2.1 * MARGIN)
    with pytest.raises(QueueFull) as full:
        add(batcher, 400, deadline=60.0)
    draws(batcher, clock, full.value.queue.retry_after_s)
    add(batcher, 400, deadline=60.0)
    draws(batcher, clock, 3.0)
    assert not first.left and not first.gone


def test_request_that_was_late_by_the_margin_only_still_keeps_others_from_making_it_late(
    batcher, clock
):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000, deadline=10.0 * MARGIN)
    clock.now = 2.5  # nothing ran: it has a twentieth of its wait to spare
    with pytest.raises(QueueFull):
        add(batcher, 100, deadline=60.0)


def test_request_that_is_little_beside_another_is_not_refused_for_its_sake(batcher, clock):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 4000, deadline=40.0 * MARGIN)
    clock.now = 5.0  # nothing ran
    add(batcher, 250, deadline=60.0)
    with pytest.raises(QueueFull):
        add(batcher, 500, deadline=60.0)


def test_request_that_would_be_late_is_refused_at_once(batcher):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000)
    with pytest.raises(QueueFull) as full:
        add(batcher, 1000, deadline=15.0)
    assert full.value.queue.wait_s == 10.0
    assert full.value.queue.retry_after_s == pytest.approx(20.0 - 15.0 / MARGIN)
    with pytest.raises(QueueFull):  # it would end in time, if all goes as expected
        add(batcher, 1000, deadline=20.5)
    add(batcher, 1000, deadline=20.0 * MARGIN)


def test_request_that_would_make_another_late_is_refused_too(batcher):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000, deadline=11.5 * LEAST_MARGIN)
    with pytest.raises(QueueFull) as full:
        add(batcher, 200, deadline=60.0)  # smaller, so it would go first: the other ends at 12
    assert full.value.queue.retry_after_s == pytest.approx(0.5 * LEAST_MARGIN / (LEAST_MARGIN - 1))
    add(batcher, 100, deadline=60.0)
    add(batcher, 1000, deadline=60.0)  # as large, so it goes last


def test_request_that_is_late_anyway_keeps_nobody_out(batcher, clock):
    batcher.observe(rows=100, seconds=1.0)
    add(batcher, 1000, deadline=10.5)
    clock.now = 5.0  # nothing ran: it cannot be done any more
    add(batcher, 200, deadline=60.0)


@pytest.mark.parametrize("slower", [1.0, 0.8])
def test_under_overload_nearly_everything_that_is_accepted_comes_in_time(clock, slower):
    """Ten times too much is asked for, a second's patience each; the machine is slower at times."""
    batcher = Batcher(32, 16384, clock)
    asked = ran = late = 0
    accepted = []
    while clock.now < 30:
        for _ in range(asked, int(clock.now * 10 * 8000 / 512)):
            asked += 1
            with contextlib.suppress(QueueFull):
                accepted.append(add(batcher, 512, deadline=clock.now + 1.0))
        batch = batcher.take()
        ran += batch.rows
        late += len(batch.expired)
        seconds = 32 / 8000 / (slower if clock.now % 6 < 3 else 1.0)
        batcher.observe(batch.rows, seconds)
        clock.now += seconds
    delivered = 512 * sum(not request.left for request in accepted)
    assert ran >= 0.99 * 30 * 8000 * (1 + slower) / 2
    assert delivered >= 0.99 * ran
    assert late <= 0.01 * len(accepted)


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


def test_small_batches_do_not_tell_how_fast_full_ones_are(batcher):
    batcher.observe(rows=1, seconds=1.0)
    assert batcher.capacity is None
    batcher.observe(rows=32, seconds=1.0)
    assert batcher.capacity == 32


def test_capacity_follows_recent_batches_slowly(batcher):
    for _ in range(20):
        batcher.observe(100, 1.0)
    batcher.observe(200, 1.0)
    assert batcher.capacity == pytest.approx(110)


def test_first_batch_decides_no_more_than_the_next_ones(batcher):
    batcher.observe(100, 10.0)
    for _ in range(3):
        batcher.observe(100, 1.0)
    assert batcher.capacity == pytest.approx((10 + 3 * 100) / 4)


def test_drain_rate_is_what_leaves_a_queue_that_is_not_empty(batcher, clock):
    batcher.observe(64, 0.01)
    assert batcher.drain_rate == 6400  # all there is to go by
    add(batcher, 64 * 50)
    for _ in range(50):
        batcher.take()
        clock.now += 0.02
    assert batcher.drain_rate == pytest.approx(3200)
    clock.now += FRESH_S / 2  # nobody asks
    add(batcher, 64)
    batcher.take()
    clock.now += 1
    batcher.take()
    assert batcher.drain_rate == pytest.approx(3200)


def test_few_that_wait_for_a_moment_say_nothing_of_how_fast_many_would_drain(batcher, clock):
    batcher.observe(64, 0.01)
    for _ in range(50):
        add(batcher, 64)
        add(batcher, 32)
        batcher.take()
        clock.now += 0.5  # others had the processors
        batcher.take()
    assert batcher.drain_rate == 6400
    for _ in range(3):
        add(batcher, 4096, deadline=clock.now + 10)


def test_time_without_anybody_waiting_is_not_the_queues(batcher, clock):
    """The last ones in the queue hang up, and nobody comes for a while."""
    request = add(batcher, 64 * 50)
    for _ in range(10):
        batcher.take()
        clock.now += 0.02
    batcher.drop(request)
    clock.now += FRESH_S / 2
    add(batcher, 64)
    batcher.take()
    assert batcher.drain_rate == pytest.approx(3200)


def test_drain_rate_forgets_what_was_seconds_ago(batcher, clock):
    for pause in (0.02, 0.1):
        add(batcher, 64 * 101)
        for _ in range(100):
            batcher.take()
            clock.now += pause
        while batcher.rows:
            batcher.take()
    assert batcher.drain_rate == pytest.approx(640, rel=0.05)


def test_queue_delay_counts_from_arrival_to_the_first_rows(batcher, clock):
    clock.now = 1.0
    request = add(batcher, 100)
    clock.now = 3.0
    batcher.take()
    clock.now = 4.0
    batcher.take()
    assert (request.arrived, request.started) == (1.0, 3.0)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 100))
def test_every_row_runs_once_in_order_and_no_batch_is_too_big(sizes, max_batch_size):
    batcher = Batcher(max_batch_size, 10**6, Clock())
    requests = [add(batcher, rows) for rows in sizes]
    seen = {id(request): 0 for request in requests}
    waiting = sum(sizes)
    while batcher.rows:
        batch = batcher.take()
        assert batch.rows == min(max_batch_size, waiting), "the engine had work and was not filled"
        waiting -= batch.rows
        for part in batch.slices:
            assert part.start == seen[id(part.request)]
            seen[id(part.request)] += part.rows
    assert seen == {id(request): request.rows for request in requests}
