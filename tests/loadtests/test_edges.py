"""Hostile connections are held as they say, callers beside them are counted, faults are told."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtests import edges, hostile, memory_limit, steady
from loadtests.edges import MEMORY, Phase
from loadtests.hostile import HALF_SENT, IDLE, SLOW, UNREAD, Hostile
from loadtests.memory import processes, total_mb
from loadtests.memory_limit import V1, V2, MemoryLimit, limited
from loadtests.serving import serving
from loadtests.steady import Steady
from tests.chaos.processes import all_workers_connected
from tests.servers import NO_TIMEOUTS, PATIENCE_S, PYTHON, SMALL_BATCHES, until
from tests.small_model import small_model

LARGE = 8 << 20


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """How fast a server answers is measured, not tested."""
    monkeypatch.setattr(steady, "ANSWER_S", PATIENCE_S)
    monkeypatch.setattr(steady, "PROBE_S", PATIENCE_S)
    monkeypatch.setattr(edges, "METRICS_S", PATIENCE_S)
    monkeypatch.setattr(edges, "serving", serving_whole)


@contextmanager
def serving_whole(*args, **options):
    """Start a server, and wait until all of its HTTP workers can answer."""
    with serving(*args, **options) as found:
        until(lambda: all_workers_connected(found.pid))
        yield found


class Handler(BaseHTTPRequestHandler):
    """Answers with as many bytes as sockets never hold; ``seen`` has what was asked."""

    protocol_version = "HTTP/1.1"
    status = 200
    ends = False
    """Whether the connection ends after an answer that does not say so."""

    def do_GET(self):
        self.server.seen.append(self.path)
        self.respond(b"ok")
        self.close_connection = self.close_connection or self.ends

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.seen.append(self.rfile.read(length))
        if not self.server.refusals:
            self.respond(bytes(LARGE))
            return
        self.server.refusals -= 1
        self.respond(b"full", 503)

    def respond(self, body, status=None):
        self.send_response(status or self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass  # the callers of these tests hang up


@contextmanager
def server(status=200, refusals=0):
    with Quiet(("127.0.0.1", 0), Handler) as found:
        found.seen, found.status, found.refusals = [], status, refusals
        found.url = f"http://127.0.0.1:{found.server_port}"
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@contextmanager
def holding(url, wanted):
    found = Hostile(url, wanted)
    found.start()
    yield found
    found.stop()


# hostile connections


@pytest.mark.parametrize("kind", [IDLE, HALF_SENT, UNREAD, SLOW])
def test_as_many_connections_as_are_wanted_are_held(kind):
    with server() as served, holding(served.url, {kind: 5}) as held:
        until(lambda: held.counts.held[kind] == 5)
    assert held.counts.most_held == {kind: 5}


def test_all_kinds_grow_at_the_same_time():
    with server() as served, holding(served.url, dict.fromkeys(hostile.KINDS, 3)) as held:
        until(lambda: all(held.counts.held[kind] == 3 for kind in hostile.KINDS))


def test_connections_are_opened_as_fast_as_is_said_and_no_faster(monkeypatch):
    monkeypatch.setattr(hostile, "OPENED_PER_S", 0.0)
    with server() as served, holding(served.url, {IDLE: 5}) as held:
        until(lambda: ask(served.url, until_answers=1).answered_s)
        assert held.counts.held[IDLE] == 0
        monkeypatch.setattr(hostile, "OPENED_PER_S", 400)
        until(lambda: held.counts.held[IDLE] == 5)


def test_reader_that_is_refused_asks_again(monkeypatch):
    monkeypatch.setattr(hostile, "ASKED_AGAIN_S", 0.05)
    with server(refusals=3) as served, holding(served.url, {UNREAD: 1}) as held:
        until(lambda: held.counts.held[UNREAD] == 1)
    assert held.counts.refused[UNREAD] == 3
    assert len(served.seen) == 4


def test_half_sent_body_is_never_finished():
    with server() as served, holding(served.url, {HALF_SENT: 2}) as held:
        until(lambda: held.counts.held[HALF_SENT] == 2)
        assert served.seen == []


def test_slow_reader_takes_a_little_each_second():
    with server() as served, holding(served.url, {SLOW: 1}) as held:
        until(lambda: held.counts.held[SLOW] == 1)
        held._read_slowly()
        assert held.counts.ended[SLOW] == 0


def test_connection_that_the_server_ends_is_counted_and_opened_again(monkeypatch):
    monkeypatch.setattr(Handler, "timeout", 0.1)
    with server() as served, holding(served.url, {IDLE: 1}) as held:
        until(lambda: held.counts.ended[IDLE] >= 2)


# callers beside them


def ask(url, until_answers=20):
    asking = Steady(url)
    watch = lambda: len(asking.seen.answered_s) + asking.seen.errors.total() >= until_answers  # noqa: E731
    return asyncio.run(asking.run(2, 60, watch))


def test_callers_and_probes_of_a_good_server_have_no_errors():
    with server() as served:
        seen = ask(served.url)
    assert not seen.errors
    assert not seen.late_probes
    assert seen.probes >= 2
    assert seen.p99_ms() > 0


def test_errors_are_counted_by_status():
    with server(status=503) as served:
        seen = ask(served.url)
    assert set(seen.errors) == {"503"}
    assert set(seen.late_probes) == {"/healthz: 503", "/readyz: 503"}
    assert seen.p99_ms() == 0.0


def test_idle_connection_that_was_ended_is_replaced_without_an_error(monkeypatch):
    monkeypatch.setattr(Handler, "ends", True)
    with server() as served:
        assert not ask(served.url, 6).errors


def test_server_that_answers_nobody_is_told(monkeypatch):
    monkeypatch.setattr(steady, "ANSWER_S", 0.1)
    monkeypatch.setattr(steady, "PROBE_S", 0.1)
    over = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: over.wait())
    with server() as served:
        seen = ask(served.url, 2)
        over.set()
    assert set(seen.errors) == {"TimeoutError"}
    assert set(seen.late_probes) == {"/healthz: TimeoutError", "/readyz: TimeoutError"}


# memory


def test_memory_of_a_group_is_that_of_its_processes():
    own = os.getpgid(0)
    assert os.getpid() in processes(own)
    assert total_mb(own) > 10


@pytest.mark.parametrize(
    ("files", "stat", "kills", "in_force"),
    [
        (V1, "cache 5\ntotal_inactive_file 1000000\n", "under_oom 0\noom_kill 2\n", "1"),
        (V2, "inactive_file 1000000\n", "oom 7\noom_kill 2\noom_group_kill 0\n", "2"),
    ],
)
def test_both_versions_of_cgroups_are_read(tmp_path, files, stat, kills, in_force):
    (tmp_path / files.limit).write_text(f"{512 * 2**20}\n")
    (tmp_path / files.used).write_text("5000000\n")
    (tmp_path / "memory.stat").write_text(stat)
    (tmp_path / files.kills).write_text(kills)
    limit = MemoryLimit(tmp_path, files)
    assert limit.used_mb(0) == 4.0
    assert limit.kills() == 2
    assert limit.in_force() == f"512 MiB in a cgroup of version {in_force}"
    (tmp_path / files.limit).write_text("max\n")
    assert limit.in_force() == f"max in a cgroup of version {in_force}"
    assert str(tmp_path) in limit.launcher


def test_machine_without_cgroups_has_no_limit_and_adds_memory_up(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_limit, "ROOT", tmp_path / "none")
    with limited(512) as limit:
        assert limit.folder is None
        assert limit.in_force() == "none"
        assert limit.kills() == 0
        assert limit.used_mb(os.getpgid(0)) > 10
        command = [*limit.launcher, sys.executable, "-c", "print('started')"]
        assert subprocess.check_output(command) == b"started\n"


def test_limited_process_is_in_the_group_and_killed_beyond_its_limit():
    with limited(64) as limit:
        if limit.folder is None:
            pytest.skip("no cgroup can be made here")
        assert limit.in_force().startswith("64 MiB in a cgroup of version ")
        command = [*limit.launcher, sys.executable, "-c", "b'a' * (200 << 20)"]
        subprocess.run(command, stderr=subprocess.DEVNULL)
        assert limit.kills() == 1
    assert not limit.folder.exists()


# what is told


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"errors": {"503": 2}}, "2 callers got 503"),
        ({"late_probes": {"/healthz: TimeoutError": 1}}, "1 probes: /healthz: TimeoutError"),
        ({"kills": 1}, "1 processes were killed for want of memory"),
        ({"failure": "it ended\nits log"}, "it ended"),
        ({"answered": 0}, "no caller was answered"),
    ],
)
def test_fault_of_a_phase_is_told(change, fault):
    good = {"checkout": "here", "name": "idle", "answered": 5}
    assert Phase(**good).faults() == []
    assert Phase(**good | change).faults() == [f"here, idle: {fault}"]


def test_phase_of_memory_has_no_callers():
    assert Phase("here", MEMORY).faults() == []


def has_all(everything, memory):
    """Return whether both phases were long enough for all that they shall have seen."""
    held = everything["held"]
    return (
        held.keys() == {"idle", "half-sent", "unread", "slow"}
        and held["idle"] == held["half-sent"] == 40
        and everything["answered"] > 0
        and memory["held"].get("unread", 0) > 0
        and memory["workers_mb"] > 0
    )


@pytest.mark.servers
def test_few_connections_of_all_kinds_leave_the_real_server_as_it_was(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(edges, "LIMIT_MIB", 2048)
    for name, value in (SMALL_BATCHES | NO_TIMEOUTS).items():
        monkeypatch.setenv(name, value)
    small_model(tmp_path / "models")
    saved = tmp_path / "edges.json"
    command = ["--python", PYTHON, "--models", str(tmp_path / "models"), "--save", str(saved)]
    few = ["--scale", "0.02", "--only", "all", "--only", "memory"]
    for seconds in (2, 20, 200):  # as many as this machine needs
        monkeypatch.setattr(edges, "MEMORY_S", 2.5 * seconds)
        status = edges.main([*command, *few, f"--seconds={seconds}"])
        found = json.loads(saved.read_text())
        everything, memory = found["phases"]
        if has_all(everything, memory):
            break
        assert {*found["faults"]} <= {"., all: no caller was answered"}
    assert status == 0, capsys.readouterr().out
    assert has_all(everything, memory), found
    assert memory["memory_limit"] == "none"
    with limited(edges.LIMIT_MIB) as limit:
        assert everything["memory_limit"] == limit.in_force()


@pytest.mark.servers
def test_real_server_answers_beside_thousands_of_connections(tmp_path, capsys, monkeypatch):
    for name, value in NO_TIMEOUTS.items():
        monkeypatch.setenv(name, value)
    small_model(tmp_path / "models")
    command = ["--python", PYTHON, "--models", str(tmp_path / "models")]
    assert edges.main([*command, "--seconds", "10", "--only", "all"]) == 0, capsys.readouterr().out
