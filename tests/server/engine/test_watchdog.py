"""The watchdog in this process, whose engine is the test's, and in one that it really ends."""

import faulthandler
import os
import subprocess
import sys

import pytest

from server.engine import watchdog
from server.engine.watchdog import watch
from tests.bundles import ROOT
from tests.patience import PATIENCE_S


class Running:
    """An engine whose oldest batch has been running for ``seconds``, one look after the other."""

    def __init__(self, *seconds):
        self._seconds = iter(seconds)
        self.looks = 0

    def oldest_s(self):
        self.looks += 1
        return next(self._seconds)


@pytest.fixture
def ended(monkeypatch):
    """Return the exit statuses with which the watchdog ended this process, which it does not."""
    ended = []
    monkeypatch.setattr(watchdog, "LOOK_S", 0)
    monkeypatch.setattr(os, "_exit", ended.append)
    yield ended
    faulthandler.cancel_dump_traceback_later()


def test_engine_ends_whose_batch_runs_for_longer_than_the_limit(ended, caplog):
    watch(Running(0.0, 0.9, 1.1), limit_s=1.0, silence_s=60).join(PATIENCE_S)
    assert ended == [1]
    assert "a batch has been running for 1.1 s: the engine hangs, and ends" in caplog.text


def test_batch_has_all_of_its_time_each_time(ended):
    engine = Running(0.0, 1.0, 0.1, 1.0, 0.0, 9.0)
    watch(engine, limit_s=1.0, silence_s=60).join(PATIENCE_S)
    assert engine.looks == 6


HANG_WITH_THE_LOCK = """
import ctypes, time
from server.engine.watchdog import watch

class Idle:
    looks = 0
    def oldest_s(self):
        self.looks += 1
        return 0.0

idle = Idle()
watch(idle, limit_s=60, silence_s=1)
while idle.looks < 2:  # before the second look the timer runs
    time.sleep(0.01)
ctypes.PyDLL(None).sleep(600)
"""


def test_watchdog_ends_a_process_that_hangs_with_pythons_lock():
    command = [sys.executable, "-c", HANG_WITH_THE_LOCK]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr and "most recent call first" in ended.stderr


LOAD_WITH_THE_LOCK = """
import ctypes, threading, time
from server.engine.watchdog import unhurried, watch

class Idle:
    looks = 0
    def oldest_s(self):
        self.looks += 1
        return 0.0

idle = Idle()
watch(idle, limit_s=60, silence_s=10)
while idle.looks < 3:
    time.sleep(0.01)
with unhurried():
    ctypes.PyDLL(None).sleep(15)
looks = idle.looks
while idle.looks < looks + 3:
    time.sleep(0.01)
print("loaded", flush=True)
ctypes.PyDLL(None).sleep(600)
"""


def test_load_may_hold_pythons_lock_for_longer_and_the_limit_counts_again_after_it():
    command = [sys.executable, "-c", LOAD_WITH_THE_LOCK]
    for _ in range(3):  # a machine that stands still before the load may be taken for the process
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if ended.stdout:
            break
    assert ended.stdout == "loaded\n"
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
