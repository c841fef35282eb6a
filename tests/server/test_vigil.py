"""What hangs is told from what is held up, by processes that sleep, work and were stopped."""

import math
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from server.observability.process_stats import PROC, facts
from server.vigil import ASLEEP, LATE_S, LOOK_S, SILENT_S, STILL_S, STOPPED, Stillness, Vigil
from tests.chaos.faults import until
from tests.clock import Clock

SLEEPS = "import signal; print(flush=True); signal.pause()"
WORKS = "print(flush=True)\nwhile True: pass"
A_THREAD_WORKS = f"""
import signal, threading
threading.Thread(target=exec, args=({WORKS!r},), daemon=True).start()
signal.pause()
"""


@pytest.fixture
def process():
    """Return a function: it starts a program, and waits until its main thread is in a state."""
    started = []

    def start(program, state):
        command = [sys.executable, "-c", program]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        started[-1].stdout.readline()  # it is past Python's own start
        await_state(started[-1].pid, state)
        return started[-1].pid

    yield start
    for each in started:
        each.kill()
        each.communicate()


def await_state(pid, *states):
    until(lambda: facts(PROC / str(pid))[0] in states, f"{pid} is never in {states}")


@pytest.fixture
def vigil(tmp_path):
    """Return a function: a vigil over a process, a sign of it at 1000, and the time."""
    with (tmp_path / "signs").open("w+b", 0) as file:

        def over(pid, states=ASLEEP):
            clock = Clock()
            clock.now = 1000.0
            signs = SimpleNamespace(
                fileno=file.fileno, last_update=lambda: os.fstat(file.fileno()).st_mtime
            )
            os.utime(file.fileno(), (clock.now, clock.now))
            worker = SimpleNamespace(pid=pid, aborted=False, tmp=signs)
            return Vigil(worker, states, clock), worker, clock

        yield over


def looks(vigil, clock, times, every_s=LOOK_S):
    """Return what gunicorn is told at each look."""
    told = []
    for _ in range(times):
        told.append(vigil.last_update())
        clock.now += every_s
    return told


def test_worker_that_sleeps_and_gives_no_sign_is_killed_at_the_third_look(vigil, process, caplog):
    watching, worker, clock = vigil(process(SLEEPS, "S"))
    assert looks(watching, clock, 3) == [1000.0, 1000.0, -math.inf]
    assert worker.aborted
    assert f"process {worker.pid} hangs, and is killed" in caplog.text


@pytest.mark.parametrize("states", [ASLEEP, STOPPED])
def test_process_that_was_stopped_hangs(vigil, process, states):
    pid = process(WORKS, "R")
    os.kill(pid, signal.SIGSTOP)
    await_state(pid, "T")
    watching, _, clock = vigil(pid, states)
    assert looks(watching, clock, 3)[-1] == -math.inf


def test_engine_whose_threads_all_sleep_does_not_hang(vigil, process):
    watching, worker, clock = vigil(process(SLEEPS, "S"), STOPPED)
    assert looks(watching, clock, 20) == [1000.0] * 20
    assert not worker.aborted


@pytest.mark.parametrize(("program", "state"), [(WORKS, "R"), (A_THREAD_WORKS, "S")])
def test_process_that_works_does_not_hang(vigil, process, program, state):
    pid = process(program, state)
    until(lambda: any(facts(x)[0] == "R" for x in (PROC / str(pid) / "task").iterdir()), "idle")
    watching, _, clock = vigil(pid)
    assert looks(watching, clock, 20) == [1000.0] * 20


def test_process_that_gives_signs_does_not_hang(vigil, process):
    watching, _, clock = vigil(process(SLEEPS, "S"))
    for _ in range(20):
        clock.now += SILENT_S - 0.1
        os.utime(watching.fileno(), (clock.now - 1, clock.now - 1))
        assert watching.last_update() == pytest.approx(clock.now - 1)


def test_process_that_rests_need_give_no_sign_for_a_while(vigil, process):
    watching, _, clock = vigil(process(SLEEPS, "S"))
    watching.rest(30)
    assert -math.inf not in looks(watching, clock, 31)
    assert looks(watching, clock, 3)[-1] == -math.inf


def test_who_was_held_up_itself_looks_anew(vigil, process):
    """As after Ctrl-Z, a frozen container or a sleeping machine."""
    watching, _, clock = vigil(process(SLEEPS, "S"))
    assert looks(watching, clock, 9, every_s=LOOK_S + 1.1 * LATE_S) == [1000.0] * 9


def test_process_that_ended_or_has_not_begun_is_left_to_gunicorn(vigil):
    for pid in (2**22 + 1, "[booting]"):
        watching, _, clock = vigil(pid)
        assert looks(watching, clock, 5) == [1000.0] * 5


def test_stillness_begins_anew_with_whatever_is_new_or_at_work():
    clock = Clock()
    stillness = Stillness(LOOK_S, clock)
    found = []
    for seen, at_rest in ((1, True), (1, True), (2, True), (2, True), (2, False), (2, True)):
        found.append(stillness.seconds(seen, at_rest))
        clock.now += STILL_S
    assert found == [0, STILL_S, 0, STILL_S, 0, STILL_S]
