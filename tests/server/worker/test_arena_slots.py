"""Who gets a slot of the arena, and when."""

import gevent
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ClientGone, DeadlineExceeded
from server.worker.arena_slots import (
    SMALL_PART,
    ArenaSlots,
    FirstFit,
    SentRows,
)
from server.worker.gevent_io import GeventLoop
from server.worker.request_terms import RequestTerms

ARENA = 64 * 64 * SMALL_PART
PART = ARENA // SMALL_PART
LARGE = ARENA - PART


@pytest.fixture
def slots():
    return ArenaSlots(ARENA, GeventLoop())


def find(slots, size, rows=None):
    """Return a slot for ``rows`` rows, of 64 bytes each where it is not said how many they are."""
    return slots.find(size, rows or size // 64, RequestTerms(60.0))


def wait(slots, size, rows=None, timeout_s=60.0, **terms):
    """Start to wait for a slot."""
    deadline, terms = slots._clock() + timeout_s, RequestTerms(timeout_s, **terms)
    waiting = gevent.spawn(slots.wait, size, rows or size // 64, terms, deadline)
    gevent.sleep(0)
    return waiting


def test_small_requests_find_slots_where_large_ones_fill_the_rest(slots):
    assert find(slots, LARGE) is not None
    assert find(slots, 64 * 9) is None
    for _ in range(PART // 64):
        assert find(slots, 64) is not None
    assert find(slots, 64) is None
    assert slots.taken == ARENA


def test_small_requests_overflow_into_what_large_ones_leave(slots):
    offsets = {find(slots, 64) for _ in range(ARENA // 64)}
    assert offsets == set(range(0, ARENA, 64))


def test_request_whose_turn_it_is_is_not_overtaken_by_others_that_would_fit(slots):
    halves = [find(slots, LARGE // 2) for _ in range(2)]
    large = wait(slots, LARGE, rows=100)
    slots.give_back(halves[0])
    assert find(slots, 64, rows=100) is None, "it overtook one that waits"
    behind = wait(slots, 64, rows=100)
    slots.give_back(halves[1])
    gevent.sleep(0)
    assert large.get() == PART
    assert not behind.ready()
    slots.give_back(large.get())
    assert behind.get() == PART


def test_request_for_few_images_goes_ahead_of_those_for_many_that_wait(slots):
    whole = find(slots, LARGE)
    huge = [wait(slots, LARGE // 2, rows=4096) for _ in range(4)]
    few = wait(slots, 640, rows=9)
    slots.give_back(whole)
    assert few.get() == PART
    assert huge[0].get() > PART
    assert find(slots, 640, rows=9) is not None, "there is a slot, and it is first in line"
    gevent.sleep(0)
    assert not any(each.ready() for each in huge[1:])
    gevent.killall(huge)


def test_request_for_many_images_has_its_turn_though_others_keep_coming(slots):
    taken = find(slots, LARGE)
    large, others = wait(slots, LARGE, rows=100), []
    drawn = 0
    while not large.ready():
        others.append(wait(slots, LARGE, rows=60))
        slots.give_back(taken)
        gevent.sleep(0)
        if not large.ready():
            taken = next(each for each in others if each.ready()).get()
            others = [each for each in others if not each.ready()]
            drawn += 60
    assert 60 <= drawn <= 200
    gevent.killall(others)


def test_slot_that_is_found_ahead_of_others_counts_as_a_turn(slots):
    half = find(slots, LARGE // 2)
    large = wait(slots, LARGE, rows=100)
    drawn = 0
    while (offset := find(slots, 640, rows=60)) is not None:
        slots.give_back(offset)
        drawn += 60
    assert 60 <= drawn <= 200
    slots.give_back(half)
    assert large.get() == PART


def test_request_said_to_be_bulk_waits_for_those_that_are_not(slots):
    whole = find(slots, LARGE)
    patient = wait(slots, LARGE, rows=100, bulk=True)
    eager = wait(slots, LARGE, rows=300)
    slots.give_back(whole)
    assert eager.get() == PART
    assert not patient.ready()
    slots.give_back(PART)
    assert patient.get() == PART


@pytest.mark.parametrize(
    ("sent", "rows", "share"),
    [
        ([], 9, 1.0),
        ([4096, 4096], 9, 0.5),  # one of the two has to end
        ([4096, 4096], 4096, 1.0),  # what is there goes first
        ([4096, 64, 64], 9, 64 / 4224),  # the smallest ends first
        ([64] * 10, 100, 1.0),
        ([1000] * 10, 100, 0.1),
    ],
)
def test_share_of_the_rows_that_run_before_a_request_in_line(sent, rows, share):
    assert SentRows(sent).share_before(rows) == pytest.approx(share)


def test_request_that_finds_no_slot_in_time_leaves_the_queue(slots):
    find(slots, LARGE)
    late = wait(slots, LARGE, timeout_s=0.0)
    with pytest.raises(DeadlineExceeded):
        late.get()
    assert list(slots.waiting) == []


def test_caller_that_hangs_up_waits_no_more(slots):
    offset = find(slots, LARGE)
    gone, stays = wait(slots, LARGE, peer=7), wait(slots, LARGE, peer=8)
    slots.hang_up(next(each for each in slots.waiting if each.peer == 7))
    with pytest.raises(ClientGone):
        gone.get()
    slots.give_back(offset)
    assert stays.get() == PART


def test_request_that_leaves_the_queue_lets_those_behind_it_through(slots):
    half = find(slots, LARGE // 2)
    large, behind = wait(slots, LARGE, rows=9, peer=7), wait(slots, 64, rows=9)
    slots.hang_up(next(iter(slots.waiting)))
    with pytest.raises(ClientGone):
        large.get()
    assert behind.get() > half


def test_slot_of_one_that_is_killed_meanwhile_goes_to_the_next(slots):
    """Its slot was found already, and it does not live to hear of it."""
    offset = find(slots, LARGE)
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
