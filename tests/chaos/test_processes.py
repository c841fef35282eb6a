"""Which processes there are, whatever they are called, and who started them."""

import os
import shutil
import subprocess

import pytest

from tests.chaos.processes import Process, family, processes


@pytest.fixture
def oddly_named(tmp_path):
    """A process in a session of its own, whose name looks like the end of one and more fields."""
    program = shutil.copy(shutil.which("sleep"), tmp_path / "a) S 1 2 (b")
    process = subprocess.Popen([program, "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_process_is_found_with_its_parent_and_its_session(oddly_named):
    assert Process(oddly_named.pid, os.getpid(), oddly_named.pid) in set(processes())


def test_process_that_ended_is_there_until_its_parent_takes_note(oddly_named):
    oddly_named.kill()
    os.waitid(os.P_PID, oddly_named.pid, os.WEXITED | os.WNOWAIT)
    assert oddly_named.pid in {process.pid for process in processes()}
    oddly_named.wait()
    assert oddly_named.pid not in {process.pid for process in processes()}


def test_child_that_has_children_is_the_arbiter_of_engines():
    script = "sleep 60 & (sleep 60 & echo ready; wait) & wait"
    command = ["sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout.readline() == b"ready\n"
        workers, engines, arbiters = family(shell.pid)
        os.killpg(shell.pid, 9)
    assert (len(workers), len(engines), len(arbiters)) == (1, 1, 1)
    assert len({*workers, *engines, *arbiters, shell.pid}) == 4
