"""The comparison's faults: who is killed, who is well again, who is answered in time."""

import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from email.message import Message
from types import SimpleNamespace
from urllib.error import HTTPError

import numpy as np
import pytest

from loadtests.answers import WrongAnswer
from loadtests.compare import checks, faults, overload, processes
from loadtests.peers.requests import OURS
from loadtests.readings import MeasureError
from tests.loadtests.fakes import draw, fake_server
from tests.servers import PATIENCE_S, until

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


@contextmanager
def parent_and_child():
    """Run a process with a child; yield the process and the child's id."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            processes.kill(processes.family(process.pid))


def test_family_is_a_process_and_all_that_descend_from_it_until_they_end():
    with parent_and_child() as (process, child):
        family = processes.family(process.pid)
        assert {each.pid for each in family} == {process.pid, child}
        assert processes.family(child) < family
        assert processes.memory_mb(family) > 1
        processes.kill(family)
        process.wait()
        until(lambda: not processes.cpu_s(family))


def test_process_that_has_another_ones_id_is_left_alone():
    with parent_and_child() as (_, child):
        (it,) = processes.family(child)
        processes.kill([processes.Process(child, it.began + 1)])
        assert processes.family(child) == {it}


def test_cpu_time_of_a_new_process_counts_from_its_start():
    old, new = processes.Process(1, 0), processes.Process(2, 5)
    assert processes.spent_s({old: 1.0}, {old: 3.0, new: 0.5}) == pytest.approx(2.5)


@pytest.fixture
def server(monkeypatch):
    """A server whose process that draws is a child of it; ``asked`` are its answers, in order."""
    with parent_and_child() as (process, child):
        found = SimpleNamespace(pid=process.pid, url="", requests=OURS, process=process)
        (victim,) = processes.family(child)
        monkeypatch.setattr(faults, "drawing_process", lambda server: victim)
        monkeypatch.setattr(faults, "IN_A_ROW", 3)
        yield found


def answers(monkeypatch, text):
    """Have probes be answered as ``text`` says: ``r`` is right, ``w`` wrong, ``-`` no answer."""
    left = list(text)

    def require_right(*_):
        match left.pop(0):
            case "w":
                raise WrongAnswer("another image")
            case "-":
                raise ConnectionRefusedError

    monkeypatch.setattr(faults, "require_right", require_right)
    return left


def test_server_is_well_once_all_answers_are_right_in_succession(monkeypatch, server):
    left = answers(monkeypatch, "r-rwrrrr")
    clock = iter(range(100))
    monkeypatch.setattr(faults.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(faults.time, "sleep", lambda seconds: None)
    found = faults.killed(server)
    assert left == ["r"]
    # The clock is read at the kill, before each probe, and at the first right one of each run.
    assert found == {faults.KILLED: 8.0}
    assert server.process.wait() == 0  # its child was killed, and it ended


def test_server_that_never_draws_right_images_again_fails(monkeypatch, server):
    answers(monkeypatch, "w" * 100)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(faults.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(faults.time, "sleep", lambda seconds: None)
    with pytest.raises(MeasureError, match="not well within 60 s"):
        faults.killed(server)


def test_server_of_one_process_is_not_killed(monkeypatch, server):
    itself = next(x for x in processes.family(server.pid) if x.pid == server.pid)
    monkeypatch.setattr(faults, "drawing_process", lambda server: itself)
    with pytest.raises(faults.NotMeasured, match="the whole server"):
        faults.killed(server)
    assert server.process.poll() is None


def asked(answer):
    """Return requests of a server that answers each as ``answer`` does, given the images asked."""
    call = lambda n: SimpleNamespace(answer=lambda *_: answer(n))  # noqa: E731
    return SimpleNamespace(of_latents=lambda rows: call(len(rows)), of_seed=lambda _, n: call(n))


@pytest.mark.parametrize("rows", [1, 8])
def test_images_are_right_within_the_tolerance_of_the_plan(monkeypatch, rows):
    right = draw(7, 8) // 2
    monkeypatch.setattr(checks, "right_images", lambda: right)
    levels = checks.tolerance()
    assert 0 < levels < 16
    checks.require_right(asked(lambda n: right[:n] + np.uint8(levels)), "", rows)
    with pytest.raises(WrongAnswer, match=f"{levels + 1} grey levels from the right one"):
        checks.require_right(asked(lambda n: right[:n] + np.uint8(levels + 1)), "", rows)
    with pytest.raises(WrongAnswer, match="images are uint8"):
        checks.require_right(asked(lambda n: right[: n - 1]), "", rows)


def test_server_that_takes_no_latents_is_asked_for_images_of_seeds():
    def refuse(n):
        raise HTTPError("", 400, "no latents", Message(), None)

    older = asked(lambda n: draw(7, n))
    older.of_latents = asked(refuse).of_latents
    checks.require_right(older, "", 8)
    older.of_seed = asked(lambda n: draw(7, n)[:, 1:]).of_seed
    with pytest.raises(WrongAnswer, match="8 images are"):
        checks.require_right(older, "", 8)


def is_over(caller):
    """Return whether the other side has ended the connection, with or without a byte unread."""
    try:
        return caller.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow_readers_ask_for_many_images_and_hold_their_connections_while_the_block_runs():
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(PATIENCE_S)
        with faults.slow_readers(f"http://127.0.0.1:{listener.getsockname()[1]}", OURS):
            callers = [stack.enter_context(listener.accept()[0]) for _ in range(faults.READERS)]
            for caller in callers:
                caller.settimeout(PATIENCE_S)
                assert b'"n": 64' in caller.recv(4096)
                caller.sendall(b"x")
        for caller in callers:
            assert is_over(caller)


def test_overload_is_a_share_of_what_callers_without_haste_get():
    with fake_server() as url:
        assert overload.overload(url, 1, OURS)[overload.OVERLOAD] >= 0


def test_server_that_answers_nothing_has_no_peak():
    with fake_server("busy") as url, pytest.raises(MeasureError, match="no request was answered"):
        overload.overload(url, 1, OURS)
