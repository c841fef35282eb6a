"""Which connections end for their callers' slowness, and which for others."""

from dataclasses import dataclass

import pytest

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

    def end(self):
        self.waits_for = ENDING


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
    old, older, half = added(
        connections, Waiting(REQUEST, 2.0), Waiting(REQUEST, 1.0), Waiting(REST, 0.0)
    )
    new = Waiting()
    connections.add(new)
    assert (old.waits_for, older.waits_for, half.waits_for) == (REQUEST, ENDING, REST)
    assert reasons == ["full"]


def test_slowest_request_ends_for_a_new_connection_where_none_is_idle(connections):
    first, half, second = added(connections, Waiting(), Waiting(REST), Waiting(READER))
    connections.add(Waiting())
    assert [x.waits_for for x in (first, half, second)] == [NOTHING, ENDING, READER]


def test_each_new_connection_ends_another_one(connections):
    """One that has been told to end already makes no more room."""
    waiting = added(connections, *(Waiting(REQUEST, float(x)) for x in range(3)))
    connections.add(Waiting())
    connections.add(Waiting())
    assert [x.waits_for for x in waiting] == [ENDING, ENDING, REQUEST]


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
