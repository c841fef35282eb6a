"""Who gets a slot of the arena, and when."""

import gevent
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ClientGone, DeadlineExceeded
from server.worker.arena_slots import SMALL_PART, Room, Slots

ARENA = 64 * 64 * SMALL_PART
PART = ARENA // SMALL_PART
LARGE = ARENA - PART


@pytest.fixture
def room():
    return Room(ARENA)


def wait(room, size, small=False, peer=None, timeout_s=60.0):
    """Start to wait for a slot."""
    waiting = gevent.spawn(room.wait, size, small, 1, peer, room._clock() + timeout_s, timeout_s)
    gevent.sleep(0)
    return waiting


def test_small_requests_find_room_where_large_ones_fill_the_rest(room):
    assert room.find(LARGE, small=False) is not None
    assert room.find(64, small=False) is None
    for _ in range(PART // 64):
        assert room.find(64, small=True) is not None
    assert room.find(64, small=True) is None
    assert room.taken == ARENA


def test_small_requests_overflow_into_what_large_ones_leave(room):
    offsets = {room.find(64, small=True) for _ in range(ARENA // 64)}
    assert offsets == set(range(0, ARENA, 64))


def test_large_request_is_not_overtaken_by_others_that_would_fit(room):
    halves = [room.find(LARGE // 2, small=False) for _ in range(2)]
    large = wait(room, LARGE)
    room.give_back(halves[0])
    assert room.find(64, small=False) is None, "it overtook one that waits"
    behind = wait(room, 64)
    room.give_back(halves[1])
    gevent.sleep(0)
    assert large.get() == PART
    assert not behind.ready()
    room.give_back(large.get())
    assert behind.get() == PART


def test_request_that_finds_no_room_in_time_leaves_the_line(room):
    room.find(LARGE, small=False)
    late = wait(room, LARGE, timeout_s=0.0)
    with pytest.raises(DeadlineExceeded):
        late.get()
    assert list(room.waiting) == []


def test_caller_that_hangs_up_waits_no_more(room):
    offset = room.find(LARGE, small=False)
    gone, stays = wait(room, LARGE, peer=7), wait(room, LARGE, peer=8)
    room.hang_up(next(each for each in room.waiting if each.peer == 7))
    with pytest.raises(ClientGone):
        gone.get()
    room.give_back(offset)
    assert stays.get() == PART


def test_who_leaves_the_line_lets_those_behind_it_through(room):
    half = room.find(LARGE // 2, small=False)
    large, behind = wait(room, LARGE, peer=7), wait(room, 64)
    room.hang_up(next(iter(room.waiting)))
    with pytest.raises(ClientGone):
        large.get()
    assert behind.get() > half


def test_slot_of_one_that_is_killed_meanwhile_goes_to_the_next(room):
    """Its room was found already, and it does not live to hear of it."""
    offset = room.find(LARGE, small=False)
    killed, follows = wait(room, LARGE), wait(room, LARGE)
    killed.kill(block=False)
    room.give_back(offset)
    assert follows.get() == PART
    room.give_back(PART)
    assert room.taken == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=80))
def test_slots_never_overlap_and_all_come_back(steps):
    slots = Slots(1000)
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
    slots = Slots(100)
    assert slots.take(60) == 0
    assert slots.take(60) is None
    assert np.array(slots.take(40)) == 60
