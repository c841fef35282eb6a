"""What runs or waits for a processor makes progress; what sleeps makes none."""

import os
import subprocess
import sys
import time

import pytest

from server.progress import Progress, threads_of
from tests.patience import PATIENCE_S

BUSY = "print(flush=True)\nwhile True: pass"
ASLEEP = "import time; print(flush=True); time.sleep(600)"


@pytest.fixture
def start():
    """Start Python programs, which end with the test."""
    started = []

    def start(program, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def settles(progress, pid, wanted):
    """Whether looks at the process come out as ``wanted`` in the end."""
    deadline = time.monotonic() + PATIENCE_S
    while progress.made(threads_of(pid)) is not wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # between two looks
    return True


def test_process_that_sleeps_makes_no_progress(start):
    process = start(ASLEEP)
    process.stdout.readline()
    progress = Progress()
    assert progress.made(threads_of(process.pid))
    assert settles(progress, process.pid, False)


def test_process_that_runs_makes_progress(start):
    process, progress = start(BUSY), Progress()
    process.stdout.readline()
    progress.made(threads_of(process.pid))
    assert all(progress.made(threads_of(process.pid)) for _ in range(20))


def test_process_that_waits_for_a_processor_makes_progress(start):
    """Of two on one processor one waits; and which one runs is the kernel's choice."""
    one = {os.sched_getaffinity(0).pop()}
    pinned = [start(f"import os; os.sched_setaffinity(0, {one})\n{BUSY}") for _ in range(3)]
    for process in pinned:
        process.stdout.readline()
    looks = [(Progress(), process.pid) for process in pinned]
    for progress, pid in looks:
        progress.made(threads_of(pid))
    assert all(progress.made(threads_of(pid)) for _ in range(20) for progress, pid in looks)


def test_process_that_ended_makes_no_progress(start):
    process, progress = start(BUSY), Progress()
    progress.made(threads_of(process.pid))
    process.kill()
    process.wait()
    progress.made(threads_of(process.pid))
    assert not progress.made(threads_of(process.pid))
