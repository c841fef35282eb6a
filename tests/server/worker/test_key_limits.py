"""What a key may still draw: exact over processes, whatever happens to them."""

import os
import signal
from contextlib import suppress

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as some

from server.errors import RateExceeded, TooManyInFlight
from server.keys import USER, Key
from server.worker.key_limits import ROWS, KeyLimits


def key(**limits):
    return Key("alice", USER, b"", **limits)


@pytest.fixture
def clock():
    clock = Clock()
    clock.now = 1e6  # a machine that has run for days
    return clock


@pytest.fixture
def limits(clock):
    return KeyLimits.create(clock)


def taken(limits, alice, images=1, most=10_000):
    """Take until it is refused, and return how many were taken."""
    row = limits.rows(["alice"])[0]
    count = 0
    with suppress(RateExceeded, TooManyInFlight):
        while count < most:
            limits.take(row, alice, images)
            count += images
    return count


def test_burst_is_let_in_at_once_and_then_as_many_as_time_passes(limits, clock):
    alice = key(images_per_s=10.0, burst=25)
    assert taken(limits, alice) == 25
    clock.now += 0.5
    assert taken(limits, alice) == 5
    clock.now += 1e5
    assert taken(limits, alice) == 25


@pytest.mark.parametrize("images_per_s", [1e-3, 0.3, 7.0, 99999.0])
@pytest.mark.parametrize("images", [1, 3, 64])
def test_sums_of_times_lose_no_image_of_a_burst(limits, images_per_s, images):
    assert taken(limits, key(images_per_s=images_per_s, burst=64 * 48), images) == 64 * 48


def test_refusal_tells_when_it_would_be_let_in(limits, clock):
    alice = key(images_per_s=2.0, burst=10)
    (row,) = limits.rows(["alice"])
    limits.take(row, alice, 8)
    with pytest.raises(RateExceeded) as refused:
        limits.take(row, alice, 5)
    assert refused.value.wait_s == pytest.approx(1.5, abs=1e-2)
    assert limits.left(row, alice) == (2, 4.0)
    clock.now += refused.value.wait_s
    limits.take(row, alice, 5)


def test_what_was_not_drawn_is_given_back(limits):
    alice = key(images_per_s=1.0, burst=10)
    (row,) = limits.rows(["alice"])
    limits.take(row, alice, 10)
    limits.refund(row, alice, 10)
    assert taken(limits, alice) == 10


def test_key_whose_burst_becomes_smaller_waits_no_longer_than_for_all_of_it(limits, clock):
    assert taken(limits, key(images_per_s=0.01, burst=1000)) == 1000
    smaller = key(images_per_s=1.0, burst=10)
    clock.now += 10
    assert taken(limits, smaller) == 0
    assert limits.left(limits.rows(["alice"])[0], smaller) == (0, 10.0)


def test_images_in_flight_are_counted_until_they_end(limits):
    alice = key(in_flight=10)
    (row,) = limits.rows(["alice"])
    assert taken(limits, alice, 3) == 9
    assert limits.room(row, alice) == 1
    limits.end(row, alice, 3)
    assert taken(limits, alice, 2) == 4


def test_refusal_takes_neither_of_two_limits(limits):
    alice = key(in_flight=10, images_per_s=1.0, burst=5)
    (row,) = limits.rows(["alice"])
    with pytest.raises(RateExceeded):
        limits.take(row, alice, 6)
    assert limits.room(row, alice) == 10
    limits.take(row, alice, 4)
    with pytest.raises(TooManyInFlight):
        limits.take(row, key(in_flight=5, images_per_s=1.0, burst=5), 2)
    assert limits.left(row, alice)[0] == 1


@given(
    some.lists(
        some.tuples(some.integers(0, 1), some.integers(1, 40), some.floats(0, 3)), max_size=60
    )
)
def test_keys_draw_never_more_than_a_burst_and_what_time_allows(requests):
    clock = Clock()
    limits = KeyLimits.create(clock)
    alice = key(images_per_s=5.0, burst=20)
    rows, let_in = limits.rows(["alice", "bob"]), [[], []]
    for who, images, pause_s in requests:
        clock.now += pause_s
        with suppress(RateExceeded):
            limits.take(rows[who], alice, images)
            let_in[who].append((clock.now, images))
    for one in let_in:
        for first in range(len(one)):
            for last in range(first, len(one)):
                images = sum(images for _, images in one[first : last + 1])
                assert images <= 20 + 5 * (one[last][0] - one[first][0]) + 0.02
    os.close(limits.fd)


def forked(job):
    """Run ``job`` in a process of its own, and return its pid."""
    if pid := os.fork():
        return pid
    try:
        job()
    finally:
        os._exit(0)


def taken_by_each(limits, alice):
    """Return how many each of four processes takes, which begin at the same time."""
    pipes = [os.pipe() for _ in range(3)]
    (read, write), (start, go), (waits, ready) = pipes

    def take(slot):
        mine = KeyLimits(limits.fd, slot, limits._clock)
        os.write(ready, b".")
        os.read(start, 1)
        os.write(write, b"%d\n" % taken(mine, alice, 1 + slot % 2))

    pids = [forked(lambda slot=slot: take(slot)) for slot in range(4)]
    for _ in pids:
        os.read(waits, 1)
    os.write(go, b"1234")
    for pid in pids:
        os.waitpid(pid, 0)
    counts = [int(x) for x in os.read(read, 1000).split()]
    for descriptor in sum(pipes, ()):
        os.close(descriptor)
    return counts


@pytest.mark.parametrize(
    "alice", [key(images_per_s=1e-3, burst=4000), key(in_flight=4000)], ids=["rate", "in flight"]
)
def test_processes_that_take_together_take_no_more_and_no_less(clock, alice):
    for _ in range(100):  # one takes them all while a machine lets the others stand still
        limits = KeyLimits.create(clock)
        counts = taken_by_each(limits, alice)
        os.close(limits.fd)
        assert sum(counts) == 4000
        if sum(count > 0 for count in counts) > 1:
            return
    pytest.fail("no two took at a time: this shows nothing")


def test_what_a_dead_worker_had_in_flight_is_given_back(limits):
    alice = key(in_flight=10)
    (row,) = limits.rows(["alice"])
    limits.take(row, alice, 2)
    dead = forked(lambda: KeyLimits(limits.fd, 7).take(row, alice, 8))
    os.waitpid(dead, 0)
    assert limits.room(row, alice) == 0
    limits.leave(7)
    assert limits.room(row, alice) == 8


def test_worker_that_dies_under_a_lock_keeps_nobody_out(limits):
    alice = key(in_flight=10)
    (row,) = limits.rows(["alice"])
    read, write = os.pipe()

    def hold():
        with limits._locked(row):
            os.write(write, b"held")
            signal.pause()

    holder = forked(hold)
    os.read(read, 4)
    os.kill(holder, signal.SIGKILL)
    limits.take(row, alice, 1)
    os.waitpid(holder, 0)


def test_names_keep_their_rows_and_processes_agree_on_them(limits):
    first = limits.rows(["alice", "bob"])
    again = KeyLimits(limits.fd, 3).rows(["carol", "bob", "alice"])
    assert again[2:0:-1] == first
    assert len(set(again)) == 3


def test_rows_of_names_that_are_gone_are_given_away_unless_they_are_in_use(limits):
    rows = limits.rows([f"old{number}" for number in range(ROWS)])
    limits.take(rows[5], key(in_flight=1), 1)
    new = limits.rows([f"new{number}" for number in range(1000)])
    assert len(set(new)) == 1000
    assert rows[5] not in new
    assert limits.rows(["new7"]) == [new[7]]


def test_worker_finds_the_memory_of_its_arbiter(limits, monkeypatch):
    monkeypatch.delenv("KEY_LIMITS", raising=False)
    alice = key(in_flight=10)
    assert KeyLimits.shared().room(limits.rows(["alice"])[0], alice) == 10
    limits.hand_to(9)
    (row,) = limits.rows(["alice"])
    limits.take(row, alice, 4)
    shared = KeyLimits.shared()
    assert (shared.slot, shared.room(row, alice)) == (9, 6)
