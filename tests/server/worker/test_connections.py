"""Which connections end for their callers' slowness, and which for others."""

from dataclasses import dataclass, replace

import pytest

from server.errors import BodiesFull
from server.worker.connections import (
    END,
    END_S,
    ENDING,
    NOTHING,
    READER,
    REQUEST,
    REST,
    Connections,
    Limits,
)

LIMITS = Limits(count=3, idle_s=75, read_s=20, send_s=10, unsent_bytes=100)


@dataclass(eq=False)
class Waiting:
    waits_for: str = NOTHING
    since: float = 0.0
    unsent: int = 0
    heard: int = 0
    refusal: Exception | None = None

    def end(self, refusal=None):
        self.waits_for, self.refusal = ENDING, refusal


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reasons():
    return []


@pytest.fixture
def connections(clock, reasons):
    return Connections(LIMITS, reasons.append, clock)


def added(connections, *waiting):
    for each in waiting:
        connections.add(each)
    return waiting


@pytest.mark.parametrize(
    ("kind", "longest"), [(REQUEST, 75), (REST, 20), (READER, 10), (END, END_S)]
)
def test_connection_ends_once_it_has_waited_for_too_long(
    connections, clock, reasons, kind, longest
):
    (waiting,) = added(connections, Waiting(kind, since=1000.0))
    clock.now = 1000.0 + longest
    connections.sweep()
    assert waiting.waits_for == kind
    clock.now += 0.1
    connections.sweep()
    connections.sweep()
    assert waiting.waits_for == ENDING
    assert reasons == [kind]


def arrive(connections, clock, *bodies):
    """Add connections whose bodies have come for ten seconds, in ``bodies`` bytes."""
    clock.now = 10.0
    waiting = added(connections, *(Waiting(REST, since=0.0) for _ in bodies))
    for each, heard in zip(waiting, bodies, strict=True):
        connections.hear(each, heard)
    return waiting


@pytest.fixture
def hearing(clock, reasons):
    """Connections whose large bodies may have 100 bytes together."""
    return Connections(replace(LIMITS, count=10, bodies_bytes=100), reasons.append, clock)


def test_request_whose_large_body_comes_most_slowly_is_refused_for_others(hearing, clock, reasons):
    fast, slow, faster = arrive(hearing, clock, 30, 10, 50)
    hearing.hear(fast, 40)
    assert not reasons
    faster.waits_for = NOTHING  # it reads
    hearing.hear(faster, 51)
    assert (fast.waits_for, slow.waits_for, slow.heard) == (REST, ENDING, 0)
    assert isinstance(slow.refusal, BodiesFull)
    assert reasons == ["bodies"]
    hearing.hear(faster, 60)
    assert reasons == ["bodies"]


def test_speed_of_a_body_is_what_came_of_it_in_its_time(hearing, clock):
    old, new = arrive(hearing, clock, 60, 40)
    new.since = 9.0
    hearing.hear(new, 41)
    assert (old.waits_for, new.waits_for) == (ENDING, REST)


def test_request_that_asks_for_more_is_refused_itself_if_it_is_the_slowest(hearing, clock, reasons):
    fast, slow = arrive(hearing, clock, 90, 10)
    with pytest.raises(BodiesFull) as full:
        hearing.hear(slow, 11)
    assert str(full.value) == (
        "the large bodies of others take the 100 bytes that are for all; retry in 1 s"
    )
    assert (full.value.status, full.value.headers()) == (503, {"Retry-After": "1"})
    assert (fast.waits_for, slow.heard, reasons) == (REST, 0, ["bodies"])
    hearing.hear(fast, 100)


def test_large_body_that_is_being_answered_keeps_its_memory_until_it_is(hearing, clock):
    answered, coming = arrive(hearing, clock, 90, 10)
    answered.waits_for = NOTHING
    clock.now = 1e6  # by now it came most slowly
    with pytest.raises(BodiesFull):
        hearing.hear(coming, 11)
    assert answered.waits_for == NOTHING
    hearing.hear(answered, 0)
    hearing.hear(coming, 100)
    hearing.remove(coming)
    (whole,) = arrive(hearing, clock, 100)
    assert whole.waits_for == REST


def test_request_that_is_being_answered_is_left_alone(connections, clock):
    (busy,) = added(connections, Waiting(NOTHING))
    clock.now = 1e6
    connections.sweep()
    assert busy.waits_for == NOTHING


def test_stopping_worker_ends_idle_connections_sooner_and_no_others(connections, clock):
    idle, half = added(connections, Waiting(REQUEST), Waiting(REST))
    clock.now = 1.5
    connections.sweep(idle_s=1.0)
    assert (idle.waits_for, half.waits_for) == (ENDING, REST)


def test_longest_idle_connection_ends_for_a_new_one(connections, reasons):
    old, older, busy = added(
        connections, Waiting(REQUEST, 2.0), Waiting(REQUEST, 1.0), Waiting(READER, 0.0)
    )
    connections.add(Waiting())
    assert (old.waits_for, older.waits_for, busy.waits_for) == (REQUEST, ENDING, READER)
    assert reasons == ["full"]


def test_request_that_has_been_arriving_for_longer_ends_before_an_idle_connection(connections):
    """Who asks without pause is idle for a moment only, and not to end for those who never do."""
    busy, half, idle = added(
        connections, Waiting(NOTHING, 0.0), Waiting(REST, 1.0), Waiting(REQUEST, 2.0)
    )
    connections.add(Waiting())
    assert [x.waits_for for x in (busy, half, idle)] == [NOTHING, ENDING, REQUEST]


def test_each_new_connection_ends_another_one(connections):
    """One that has been told to end already makes no more room."""
    waiting = added(connections, *(Waiting(REQUEST, float(x)) for x in range(3)))
    connections.add(Waiting())
    connections.add(Waiting())
    assert [x.waits_for for x in waiting] == [ENDING, ENDING, REQUEST]


def test_who_has_spoken_since_others_were_looked_at_waits_anew(connections):
    first, second, third = added(connections, *(Waiting(REQUEST, float(x)) for x in range(3)))
    connections.add(Waiting(REQUEST, 3.0))  # all are looked at, and the first one ends
    second.since = 4.0
    connections.add(Waiting(REQUEST, 5.0))
    connections.remove(third)
    connections.remove(first)
    later = added(connections, *(Waiting(REQUEST, 6.0 + x) for x in range(3)))
    assert (second.waits_for, third.waits_for) == (ENDING, ENDING)
    assert [x.waits_for for x in later] == [REQUEST] * 3


def test_connection_that_is_being_answered_when_others_are_looked_at_ends_in_its_turn(connections):
    busy, *idle = added(connections, Waiting(NOTHING, 0.0), Waiting(REQUEST, 1.0))
    new = added(connections, *(Waiting(REQUEST, 2.0 + x) for x in range(2)))
    busy.waits_for, busy.since = REQUEST, 2.5
    added(connections, Waiting(REQUEST, 4.0), Waiting(REQUEST, 5.0))
    assert [x.waits_for for x in (*idle, new[0], busy, new[1])] == [
        ENDING, ENDING, ENDING, REQUEST,
    ]  # fmt: skip


def test_those_who_have_read_nothing_for_the_longest_time_end_when_there_is_too_much(
    connections, reasons
):
    first, second, third = added(
        connections, Waiting(READER, 1.0), Waiting(READER, 0.0), Waiting(READER, 2.0)
    )
    connections.hold(first, 50)
    connections.hold(second, 50)
    assert reasons == []
    connections.hold(third, 60)
    assert [x.waits_for for x in (first, second, third)] == [ENDING, ENDING, READER]
    assert reasons == ["unread", "unread"]


def test_answer_longer_than_the_limit_is_sent_where_it_is_alone(connections):
    (reader,) = added(connections, Waiting(READER))
    connections.hold(reader, 1000)
    assert reader.waits_for == READER


def test_what_was_read_or_has_ended_does_not_count(connections):
    first, second = added(connections, Waiting(READER), Waiting(READER))
    connections.hold(first, 100)
    connections.hold(first, 10)
    connections.hold(second, 90)
    assert first.waits_for == READER
    connections.remove(second)
    connections.hold(first, 100)
    assert (first.waits_for, len(connections)) == (READER, 1)
