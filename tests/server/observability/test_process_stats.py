"""Real processes: this one, and one that has ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from server.observability.process_stats import ProcessStats, register_process

ROOT = Path(__file__).parents[3]


def measured(folder):
    return {
        (family.name, sample.labels["process"]): sample.value
        for family in ProcessStats(folder).collect()
        for sample in family.samples
    }


def test_a_process_is_measured_under_its_name(tmp_path):
    program = """if True:
        import os, pathlib, sys
        from server.observability.process_stats import register_process
        register_process(pathlib.Path(sys.argv[1]), "engine")
        print("registered", flush=True)
        input()
        ballast = b"x" * 50_000_000
        files = [open(os.devnull), open(os.devnull)]
        print("grown", flush=True)
        input()
    """
    command = [sys.executable, "-c", program, tmp_path]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        assert process.stdout.readline() == "registered\n"
        before = measured(tmp_path)
        process.stdin.write("grow\n")
        assert process.stdout.readline() == "grown\n"
        after = measured(tmp_path)
        process.stdin.write("end\n")

    assert before["carfront_process_cpu_seconds", "engine"] > 0
    grown = [
        after[name, "engine"] - before[name, "engine"]
        for name in ("carfront_process_resident_memory_bytes", "carfront_process_open_fds")
    ]
    assert grown[0] > 50_000_000 * 0.9
    assert grown[1] == 2


def test_the_second_of_a_name_is_told_so_and_takes_its_place(tmp_path):
    program = (
        "import pathlib, sys; from server.observability.process_stats import register_process; "
        "print(register_process(pathlib.Path(sys.argv[1]), 'engine'))"
    )
    first = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert first.stdout == "False\n"
    assert measured(tmp_path) == {}  # it has ended

    assert register_process(tmp_path, "engine")

    assert {name for _, name in measured(tmp_path)} == {"engine"}


@pytest.mark.parametrize("note", ["{pid} 1", "{pid}", "", "no number"])
def test_process_that_has_the_number_of_one_that_ended_is_not_measured(tmp_path, note):
    (tmp_path / "engine").write_text(note.format(pid=os.getpid()))
    assert measured(tmp_path) == {}


def test_process_that_cannot_be_noted_says_so_and_goes_on(tmp_path, caplog):
    (tmp_path / "full").touch()  # no folder can be made here
    assert not register_process(tmp_path / "full" / "processes", "http-3")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "http-3 is not measured" in record.getMessage()


def forked(folder, noted=()):
    """Start an HTTP worker as gunicorn's hook does, after its arbiter's handlers have ``noted``."""
    program = f"""if True:
        import queue, runpy, types
        hooks = runpy.run_path("server/gunicorn.conf.py")
        worker = types.SimpleNamespace(slot=3)
        server = types.SimpleNamespace(
            connection_balance="balance", survivor=None, key_limits=None,
            SIG_QUEUE=queue.SimpleQueue(),
        )
        for number in {list(map(int, noted))}:
            server.SIG_QUEUE.put(number)
        hooks["post_fork"](server, worker)
        print(worker.connection_balance)
    """
    env = {**os.environ, "CARFRONT_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def test_http_worker_that_cannot_be_noted_starts_all_the_same(tmp_path):
    (tmp_path / "processes").touch()
    run = forked(tmp_path)
    assert (run.returncode, run.stdout) == (0, "balance\n"), run.stderr
    assert "http-3 is not measured" in run.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_http_worker_ends_that_was_told_to_before_it_could_hear(tmp_path, number):
    run = forked(tmp_path, [signal.SIGCHLD, number])
    assert (run.returncode, run.stdout) == (0, ""), run.stderr


def test_what_only_an_arbiter_is_told_does_not_end_an_http_worker(tmp_path):
    assert forked(tmp_path, [signal.SIGCHLD, signal.SIGHUP]).stdout == "balance\n"
