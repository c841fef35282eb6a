"""Metrics of real processes that share a folder, and a name."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from subprocess import PIPE

import pytest

PROGRAM = """if True:
    import sys
    from server import metrics
    metrics.DROPPED.labels("deadline").inc(int(sys.argv[1]))
    metrics.QUEUE_ROWS.set(int(sys.argv[1]))
    print(metrics.exposition([]).decode(), "end", sep="", flush=True)
    for word in sys.stdin:
        metrics.DROPPED.labels(word).inc(int(sys.argv[1]))
        metrics.QUEUE_ROWS.set(int(sys.argv[1]))
        print(metrics.exposition([]).decode(), "end", sep="", flush=True)
"""


class Process:
    """Counts by as much as it is told to."""

    def __init__(self, process):
        self._process = process
        self.told = self._read()

    def count(self, reason):
        print(reason, file=self._process.stdin, flush=True)
        self.told = self._read()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _read(self):
        text = "".join(iter(self._process.stdout.readline, "end\n"))
        lines = [re.fullmatch(r"carfront_(\w+)(?:{.*})? (\S+)", line) for line in text.splitlines()]
        values = [(line[1], float(line[2])) for line in lines if line]
        return {
            wanted: sum(value for name, value in values if name == wanted)
            for wanted in ("dropped_total", "queue_rows")
        }


def counters(folder):
    return {file.name for file in folder.iterdir() if not file.name.startswith("gauge_")}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a process of that name, which counts by so much."""
    with ExitStack() as stack:

        def begin(name, amount):
            env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
            command = [sys.executable, "-c", PROGRAM, str(amount)]
            env["PROMETHEUS_MULTIPROC_SLOT"] = name
            process = subprocess.Popen(command, env=env, stdin=PIPE, stdout=PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return Process(process)

        yield begin


def test_next_of_a_name_counts_on_in_the_files_of_the_dead_one(start, tmp_path):
    first = start("engine-0", 5)
    first.kill()
    files = set(tmp_path.iterdir())
    second = start("engine-0", 7)
    assert second.told == {"dropped_total": 12, "queue_rows": 7}
    assert set(tmp_path.iterdir()) == files


def test_two_of_a_name_that_overlap_both_count(start, tmp_path):
    old = start("engine-0", 5)
    new = start("engine-0", 7)
    old.count("deadline")
    old.count("client_gone")
    new.count("worker_gone")
    assert new.told == {"dropped_total": 5 + 7 + 5 + 5 + 7, "queue_rows": 7}
    old.kill()
    new.kill()
    files = counters(tmp_path)
    assert start("engine-0", 1).told == {"dropped_total": 30, "queue_rows": 1}
    assert counters(tmp_path) == files


def test_names_that_begin_alike_are_left_alone(start):
    start("engine-1", 5)
    start("engine-10", 7)
    assert start("engine-1", 1).told["queue_rows"] == 7 + 1
    assert start("engine-0", 2).told["queue_rows"] == 7 + 1 + 2
