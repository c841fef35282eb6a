"""The server's start and stop, with programs that misbehave in its place."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from loadtests.serving import PORTS, ServerFailed, free_port, serving

SERVE = """
import http.server, os, signal, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *args):
        pass
print("hello from", os.environ.get("WHO", "nobody"), sys.argv[1:], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(os.environ.get("STATUS", "0"))))
"""
FOREVER = """
address = os.environ["CARFRONT_HOST"], int(os.environ["CARFRONT_PORT"])
http.server.HTTPServer(address, Ready).serve_forever()
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Return a function that makes an interpreter which runs one program, whatever it is told.

    The process notes its id in the file ``pid`` beside it, before there is a Python.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where kept logs go

    def make(program: str) -> Path:
        (tmp_path / "program.py").write_text(program)
        path = tmp_path / "python"
        run = f'exec {sys.executable} {tmp_path}/program.py "$@"'
        path.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{run}\n")
        path.chmod(0o755)
        return path

    return make


def test_free_port_is_one_on_which_nobody_listens_and_that_no_connection_gets():
    first = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    assert int(first) >= PORTS.stop
    ports = {free_port() for _ in range(100)}
    assert ports <= set(PORTS)
    assert len(ports) > 90, "servers that start at once have ports of their own"


def group_is_gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_is_ready_inside_the_block_and_gone_after_it(python):
    with serving(python(SERVE + FOREVER), {"WHO": "a test"}) as server:
        assert server.url.startswith("http://127.0.0.1:")
        log = server.log.read_text()
        assert "hello from a test" in log
        assert "server/gunicorn.conf.py" in log
    assert group_is_gone(server.pid)
    assert not server.log.exists()


def test_a_server_that_does_not_come_up_shows_its_last_lines(python):
    with (
        pytest.raises(ServerFailed, match=r"status 3 before it was ready(.|\n)*hello from nobody"),
        serving(python(SERVE + "sys.exit(3)")),
    ):
        pytest.fail("the block must not run")


def test_a_server_that_never_gets_ready_is_given_up_and_killed(python):
    path = python(SERVE + "signal.pause()")
    with (
        pytest.raises(ServerFailed, match="not ready within 5 s"),
        serving(path, ready_within_s=5),
    ):
        pytest.fail("the block must not run")
    assert group_is_gone(int(path.with_name("pid").read_text()))


def test_a_server_that_ignores_sigterm_is_reported_and_killed(python):
    program = SERVE + "signal.signal(signal.SIGTERM, signal.SIG_IGN)" + FOREVER
    with (
        pytest.raises(ServerFailed, match=r"did not stop within 0\.5 s of SIGTERM"),
        serving(python(program), stop_within_s=0.5) as server,
    ):
        pass
    assert group_is_gone(server.pid)


def test_another_status_than_0_after_sigterm_is_reported(python):
    with (
        pytest.raises(ServerFailed, match="status 5 after SIGTERM"),
        serving(python(SERVE + FOREVER), {"STATUS": "5"}),
    ):
        pass


def test_a_server_that_dies_under_load_is_reported(python):
    with (
        pytest.raises(ServerFailed, match="ended by itself with status -9"),
        serving(python(SERVE + FOREVER)) as server,
    ):
        os.kill(server.pid, 9)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)


def test_a_child_left_behind_is_reported_and_killed(python):
    leave = 'import subprocess\nsubprocess.Popen(["sleep", "3600"])'
    with (
        pytest.raises(ServerFailed, match="left processes of its own behind"),
        serving(python(SERVE + leave + FOREVER)),
    ):
        pass


def test_a_child_that_has_ended_is_not_left_behind_though_nobody_took_note(python):
    program = """
parent = os.fork()
if parent == 0:
    if os.fork() == 0:
        os._exit(0)
    os.setsid()
    signal.pause()
open(os.environ["PARENT"], "w").write(str(parent))
"""
    path = python(SERVE + program + FOREVER)
    note = path.with_name("parent")
    with serving(path, {"PARENT": str(note)}):
        parent = int(note.read_text())
    os.kill(parent, 9)


def test_an_error_in_the_block_is_what_the_caller_sees_and_the_server_is_gone(python):
    with (
        pytest.raises(subprocess.TimeoutExpired),
        serving(python(SERVE + FOREVER), {"STATUS": "5"}) as server,
    ):
        raise subprocess.TimeoutExpired("the block's own", 1)
    assert group_is_gone(server.pid)
