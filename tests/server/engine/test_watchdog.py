"""The watchdog looks at real threads; the time is the test's."""

import faulthandler
import hashlib
import os
import subprocess
import sys
import threading

import pytest

from server.engine import watchdog
from server.engine.watchdog import ASLEEP_S, Watchdog, watch
from server.observability.process_stats import PROC, facts
from tests.bundles import ROOT
from tests.chaos.faults import until

MUCH = bytes(30_000_000)
"""Work for a while, without Python's lock."""


class Running:
    """An engine whose batch began at 0, in one of its threads."""

    def __init__(self, thread, streams=()):
        self.streams = {thread, *streams}
        self.thread = thread
        self.now = 0.0

    def clock(self):
        return self.now

    def oldest(self):
        return self.now, self.thread


@pytest.fixture
def thread():
    """Return a function: it starts a thread that works or sleeps, and returns its id."""
    ends, started = threading.Event(), []

    def start(works):
        def work():
            while not ends.is_set():
                hashlib.sha256(MUCH)

        started.append(threading.Thread(target=work if works else ends.wait))
        started[-1].start()
        task = PROC / "self" / "task" / str(started[-1].native_id)
        until(lambda: works or facts(task)[0] == "S", "it does not sleep")
        return started[-1].native_id

    yield start
    ends.set()
    for each in started:
        each.join()


def found(engine, limit_s=60.0, until_s=10.0):
    """Return what a watchdog finds in so many seconds, and when."""
    watching = Watchdog(engine, limit_s, engine.clock)
    while engine.now < until_s:
        engine.now += watchdog.LOOK_S
        if what := watching.what_hangs():
            return what, engine.now
    return None


def test_batch_on_which_nobody_works_hangs(thread):
    what, after_s = found(Running(thread(works=False)))
    assert what.startswith("nothing has been done for a batch")
    assert ASLEEP_S < after_s < ASLEEP_S + 0.5


def test_batch_that_is_computed_has_all_its_time(thread):
    assert found(Running(thread(works=True)), until_s=10) is None


def test_batch_that_a_helping_thread_computes_has_all_its_time(thread):
    thread(works=True)
    assert found(Running(thread(works=False)), until_s=10) is None


def test_batch_hangs_although_another_stream_has_work(thread):
    other = thread(works=True)
    assert found(Running(thread(works=False), [other])) is not None


@pytest.mark.parametrize("works", [False, True])
def test_batch_hangs_that_takes_longer_than_the_limit(thread, works):
    what, after_s = found(Running(thread(works)), limit_s=1.0)
    assert what.startswith("a batch has been running for 1.")
    assert 1.0 < after_s < 1.5


def test_engine_without_a_batch_does_not_hang(thread):
    engine = Running(thread(works=False))
    engine.oldest = lambda: (0.0, 0)
    assert found(engine) is None


def test_batch_is_given_its_time_again_after_the_process_was_frozen(thread):
    engine = Running(thread(works=False))
    watching = Watchdog(engine, 60.0, engine.clock)
    engine.now = 2 * watchdog.LOOK_S
    assert not watching.what_hangs()
    engine.now += ASLEEP_S
    assert not watching.what_hangs()


def test_watchdog_ends_the_process_of_an_engine_that_hangs(monkeypatch, caplog):
    class Hanging:
        streams = frozenset()
        seconds = iter((0.0, 0.9, 1.1))

        def oldest(self):
            return next(self.seconds), threading.get_native_id()

    ended = []
    monkeypatch.setattr(watchdog, "LOOK_S", 0)
    monkeypatch.setattr(os, "_exit", ended.append)
    watch(Hanging(), limit_s=1.0, silence_s=60).join(10)
    faulthandler.cancel_dump_traceback_later()
    assert ended == [1]
    assert "a batch has been running for 1.1 s: the engine hangs, and ends" in caplog.text


HANG_WITH_THE_LOCK = """
import ctypes
from server.engine.watchdog import watch

class Idle:
    streams = set()
    def oldest(self):
        return 0.0, 0

watch(Idle(), limit_s=60, silence_s=1)
ctypes.PyDLL(None).sleep(60)
"""


def test_watchdog_ends_a_process_that_hangs_with_pythons_lock():
    command = [sys.executable, "-c", HANG_WITH_THE_LOCK]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr and "most recent call first" in ended.stderr
