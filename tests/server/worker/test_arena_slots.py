"""Who gets a slot of the arena, and when."""

import gevent
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ClientGone, DeadlineExceeded
from server.worker.arena_slots import SMALL_PART, ArenaSlots, FirstFit
from server.worker.gevent_io import GeventLoop

ARENA = 64 * 64 * SMALL_PART
PART = ARENA // SMALL_PART
LARGE = ARENA - PART


@pytest.fixture
def slots():
    return ArenaSlots(ARENA, GeventLoop())


def wait(slots, size, small=False, peer=None, timeout_s=60.0):
    """Start to wait for a slot."""
    waiting = gevent.spawn(slots.wait, size, small, 1, peer, slots._clock() + timeout_s, timeout_s)
    gevent.sleep(0)
    return waiting


def test_small_requests_find_slots_where_large_ones_fill_the_rest(slots):
    assert slots.find(LARGE, small=False) is not None
    assert slots.find(64, small=False) is None
    for _ in range(PART // 64):
        assert slots.find(64, small=True) is not None
    assert slots.find(64, small=True) is None
    assert slots.taken == ARENA


def test_small_requests_overflow_into_what_large_ones_leave(slots):
    offsets = {slots.find(64, small=True) for _ in range(ARENA // 64)}
    assert offsets == set(range(0, ARENA, 64))


def test_large_request_is_not_overtaken_by_others_that_would_fit(slots):
    halves = [slots.find(LARGE // 2, small=False) for _ in range(2)]
    large = wait(slots, LARGE)
    slots.give_back(halves[0])
    assert slots.find(64, small=False) is None, "it overtook one that waits"
    behind = wait(slots, 64)
    slots.give_back(halves[1])
    gevent.sleep(0)
    assert large.get() == PART
    assert not behind.ready()
    slots.give_back(large.get())
    assert behind.get() == PART


def test_request_that_finds_no_slot_in_time_leaves_the_queue(slots):
    slots.find(LARGE, small=False)
    late = wait(slots, LARGE, timeout_s=0.0)
    with pytest.raises(DeadlineExceeded):
        late.get()
    assert list(slots.waiting) == []


def test_caller_that_hangs_up_waits_no_more(slots):
    offset = slots.find(LARGE, small=False)
    gone, stays = wait(slots, LARGE, peer=7), wait(slots, LARGE, peer=8)
    slots.hang_up(next(each for each in slots.waiting if each.peer == 7))
    with pytest.raises(ClientGone):
        gone.get()
    slots.give_back(offset)
    assert stays.get() == PART


def test_request_that_leaves_the_queue_lets_those_behind_it_through(slots):
    half = slots.find(LARGE // 2, small=False)
    large, behind = wait(slots, LARGE, peer=7), wait(slots, 64)
    slots.hang_up(next(iter(slots.waiting)))
    with pytest.raises(ClientGone):
        large.get()
    assert behind.get() > half


def test_slot_of_one_that_is_killed_meanwhile_goes_to_the_next(slots):
    """Its slot was found already, and it does not live to hear of it."""
    offset = slots.find(LARGE, small=False)
    killed, follows = wait(slots, LARGE), wait(slots, LARGE)
    killed.kill(block=False)
    slots.give_back(offset)
    assert follows.get() == PART
    slots.give_back(PART)
    assert slots.taken == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=80))
def test_slots_never_overlap_and_all_come_back(steps):
    slots = FirstFit(1000)
    held = {}
    for give_back, size in steps:
        if give_back and held:
            slots.give_back(next(iter(held)))
            held.pop(next(iter(held)))
        elif (offset := slots.take(size)) is not None:
            held[offset] = size
        cells = [cell for start, n in held.items() for cell in range(start, start + n)]
        assert len(cells) == len(set(cells))
        assert all(0 <= cell < 1000 for cell in cells)
    for offset in held:
        slots.give_back(offset)
    assert slots.take(1000) == 0


def test_slot_that_fits_nowhere_is_none():
    slots = FirstFit(100)
    assert slots.take(60) == 0
    assert slots.take(60) is None
    assert np.array(slots.take(40)) == 60
