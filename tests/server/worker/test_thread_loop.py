"""The event loop of a process with threads: one piece of code runs at a time, and none is lost."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_engine import wait_until

from server.worker.thread_loop import ThreadLoop
from tests.patience import PATIENCE_S


@pytest.fixture
def loop():
    loop = ThreadLoop()
    yield loop
    loop.close()


def test_callbacks_run_in_the_thread_that_gives_the_lock_up(loop):
    ran = []
    with loop.lock:
        loop.call_soon(lambda: ran.append(threading.current_thread()))
        loop.call_soon(loop.call_soon, lambda: ran.append(threading.current_thread()))
        assert not ran
    assert ran == [threading.current_thread()] * 2


def test_timers_run_in_their_order_and_one_that_is_stopped_does_not(loop):
    ran = []
    with loop.lock:
        loop.call_later(1.0, ran.append, 2)
        stop = loop.call_later(0.5, ran.append, 3)
        loop.call_later(0.01, ran.append, 1)
        loop.call_later(0.01, ran.append, 1.5)
        stop()
    wait_until(lambda: len(ran) == 3)
    assert ran == [1, 1.5, 2]
    stop()  # once it has ended, nothing happens


def test_watch_sees_what_is_to_read_until_it_is_stopped(loop):
    ours, theirs = os.pipe()
    seen = []
    with loop.lock:
        stop = loop.watch_readable(ours, lambda: seen.append(os.read(ours, 10)))
    os.write(theirs, b"a")
    wait_until(lambda: seen == [b"a"])
    with loop.lock:
        stop()
        stop()
        os.write(theirs, b"b")
        again = []
        loop.call_later(0.02, again.append, 1)
    wait_until(lambda: again)
    assert seen == [b"a"]
    os.close(ours)
    os.close(theirs)


def test_watch_that_an_earlier_callback_stops_is_not_called(loop):
    pipes = [os.pipe() for _ in range(2)]
    seen, stops = [], []

    def called(number):
        seen.append(number)
        for stop in stops:
            stop()

    def write():
        """Write to both: the loop, which runs this, finds them together."""
        for _, theirs in pipes:
            os.write(theirs, b"a")

    with loop.lock:
        for number, (ours, _) in enumerate(pipes):
            stops.append(loop.watch_readable(ours, lambda number=number: called(number)))
        loop.call_later(0.0, write)
        done = []
        loop.call_later(0.02, done.append, 1)
    wait_until(lambda: done and seen)
    assert len(seen) == 1
    for each in pipes:
        os.close(each[0])
        os.close(each[1])


def test_callback_that_raises_is_logged_and_the_others_run(loop, caplog):
    ran = []
    with loop.lock:
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(ran.append, 1)
        loop.call_later(0.0, lambda: [][0])
        loop.call_later(0.01, ran.append, 2)
    wait_until(lambda: ran == [1, 2])
    assert "ZeroDivisionError" in caplog.text
    assert "IndexError" in caplog.text


def test_waiter_gives_the_lock_up_and_returns_its_first_value(loop):
    with loop.lock:
        waiter = loop.waiter()
        loop.call_later(0.01, waiter.wake, "a")
        loop.call_later(0.01, waiter.wake, "b")
        assert waiter.wait() == "a"
        early = loop.waiter()
        early.wake("c")
        assert early.wait() == "c"


def test_others_run_while_a_thread_computes_elsewhere(loop):
    with loop.lock:
        ran = threading.Event()
        loop.call_later(0.0, ran.set)
        assert loop.in_thread(ran.wait, PATIENCE_S)
        with pytest.raises(ZeroDivisionError):
            loop.in_thread(lambda: 1 / 0)


def test_periodic_call_may_wait_without_holding_up_others(loop):
    waits, goes_on = threading.Event(), threading.Event()
    calls = []

    def hang():
        calls.append(1)
        waits.set()
        loop.in_thread(goes_on.wait, PATIENCE_S)

    with loop.lock:
        stop = loop.call_periodically(0.001, hang)
    assert waits.wait(PATIENCE_S)
    ran = threading.Event()
    with loop.lock:
        loop.call_later(0.0, ran.set)
    assert ran.wait(PATIENCE_S)
    with loop.lock:
        stop()
    goes_on.set()
    assert len(calls) == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["soon", "later", "wait", "thread"])), max_size=60))
def test_whatever_threads_do_one_piece_runs_at_a_time(steps):
    loop = ThreadLoop()
    inside, counts = [], []

    def piece(count=True):
        inside.append(1)
        assert len(inside) == 1
        counts.append(count)
        inside.pop()

    def step(kind):
        with loop.lock:
            piece()
            if kind == "soon":
                loop.call_soon(piece)
            elif kind == "later":
                loop.call_later(0.0, piece)
            elif kind == "wait":
                waiter = loop.waiter()
                loop.call_later(0.0, waiter.wake, 1)
                waiter.wait()
                piece()
            else:
                loop.in_thread(int)
                piece()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(step, [kind for (kind,) in steps]))
    wait_until(lambda: len(counts) == 2 * len(steps))
    loop.close()
