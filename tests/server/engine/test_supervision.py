"""The engines' arbiter waits for an engine that is at work on a load, and sees what they die of."""

import logging
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from server.engine import load_notes, supervision
from server.engine.supervision import MOST_S, Heartbeat
from server.ipc.engine_dir import EngineDir
from server.progress import Progress, threads_of
from tests.clock import Clock
from tests.patience import PATIENCE_S


class Beat:
    """gunicorn's own heartbeat, whose last one is ``at``."""

    at = 0.0
    closed = False

    def last_update(self):
        return self.at

    def close(self):
        self.closed = True


@pytest.fixture
def start():
    """Start Python programs, which end with the test, and return once they run."""
    started = []

    def start(program):
        command = [sys.executable, "-c", f"print(flush=True)\n{program}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        progress = Progress()
        while program is ASLEEP and progress.made(threads_of(process.pid)):
            time.sleep(0.01)  # between two looks: it falls asleep
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


BUSY, ASLEEP = "while True: pass", "import time; time.sleep(600)"


def silence(heartbeat, clock, seconds=60):
    """Return for how long the heartbeat seems silent after that many seconds of silence."""
    for _ in range(seconds):  # gunicorn looks once a second
        clock.now += 1
        heartbeat.last_update()
    return clock.now - heartbeat.last_update()


@pytest.mark.parametrize(
    ("program", "loads", "seems_silent"),
    [(BUSY, True, False), (BUSY, False, True), (ASLEEP, True, True), (ASLEEP, False, True)],
)
def test_engine_that_loads_is_silent_only_if_it_does_nothing(start, program, loads, seems_silent):
    clock = Clock()
    heartbeat = Heartbeat(Beat(), start(program).pid, lambda: loads, clock)
    assert (silence(heartbeat, clock) > 40) is seems_silent


def test_load_that_never_ends_is_ended_at_last(start):
    clock = Clock()
    heartbeat = Heartbeat(Beat(), start(BUSY).pid, lambda: True, clock)
    assert silence(heartbeat, clock, int(MOST_S)) < 5
    assert silence(heartbeat, clock, 30) > 25


def test_sign_of_life_counts_as_ever(start):
    clock, beat = Clock(), Beat()
    heartbeat = Heartbeat(beat, start(ASLEEP).pid, lambda: True, clock)
    silence(heartbeat, clock)
    beat.at = clock.now
    assert heartbeat.last_update() == clock.now
    heartbeat.close()
    assert beat.closed


@pytest.mark.parametrize(
    ("how", "aborted", "told"),
    [
        (signal.SIGKILL, False, "killed"),
        (signal.SIGKILL, True, "time_limit"),
        (signal.SIGSEGV, False, "crashed"),
    ],
)
def test_what_an_engine_died_of_is_noted_before_it_is_reaped(
    tmp_path, start, caplog, how, aborted, told
):
    engine_dir = EngineDir(tmp_path / "engine-0")
    engine_dir.prepare()
    process = start(ASLEEP)
    engine_dir.loads(1).write_text(f"{process.pid} unknown\n")
    worker = SimpleNamespace(number=0, aborted=aborted)
    arbiter = SimpleNamespace(workers={process.pid: worker}, log=logging.getLogger("gunicorn"))
    reaped = []

    def reap():
        reaped.append(load_notes.deaths(engine_dir.loads(1)))

    reap_and_note = supervision.witnessed(reap, arbiter, [engine_dir])
    reap_and_note()
    assert reaped == [["unknown"]], "it lives"
    os.kill(process.pid, how)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    reap_and_note()
    assert reaped[1:] == [[told]]
    assert load_notes.last_death(engine_dir) == told
    assert f"engine-0 has died, {told} (signal {how:d})" in caplog.text
    assert process.wait(PATIENCE_S) == -how, "it was left for gunicorn to reap"
    reap_and_note()
    assert len(reaped) == 3
