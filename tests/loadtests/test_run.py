"""Whole load tests of the real server with the committed bundle, a few seconds long."""

import os
import re
import signal
import subprocess
import threading

import pytest

from loadtests.serving import ROOT
from tests.loadtests.fakes import LOADTEST_PYTHON, SERVE_PYTHON, fake_server
from tests.loadtests.locust_process import LONGER_S, has_rows, row
from tests.servers import NO_TIMEOUTS, PATIENCE_S, PATIENT, SMALL_BATCHES

pytestmark = pytest.mark.servers


def start(*args: str, **env: str) -> subprocess.Popen[str]:
    command = [LOADTEST_PYTHON, "-m", "loadtests.run", *args]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **SMALL_BATCHES, **NO_TIMEOUTS, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*args: str, **env: str) -> tuple[int, str]:
    """Return the status and what was printed."""
    with start(*args, **env) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output


def test_the_real_server_answers_rightly_under_load_and_stops_cleanly(tmp_path):
    slo = tmp_path / "right.toml"
    slo.write_text("max_refused_share = 0.5\nmax_late_share = 0.5")  # a machine may be slow
    args = ["--python", SERVE_PYTHON, "--users", "32", "--wait-s", "600", "--slo", str(slo)]
    names = ("single image", "infer, binary", "predict", "image to cache", "bad request")
    for seconds in LONGER_S:
        status, output = run("--seconds", str(seconds), *args, **PATIENT)
        if has_rows(output, names):
            break
    assert status == 0, output
    assert f"load test passed: 32 users, {seconds} s of load" in output
    for name in names:
        assert row(output, name)[0] > 0
    assert "the generator: 1 process with" in output


def test_a_server_that_does_not_come_up_shows_its_last_lines(tmp_path):
    status, output = run("--python", SERVE_PYTHON, "--env", f"CARFRONT_MODELS={tmp_path}")
    assert status == 1
    assert "load test FAILED: the server ended with status" in output
    assert "carfront cannot start" in output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_load_and_server(number, status):
    with start("--python", SERVE_PYTHON, "--seconds", "600", "--users", "2") as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        server_pid = 0
        for line in process.stdout:
            if found := re.search(r"server (\d+) is ready", line):
                server_pid = int(found[1])
            if "All users spawned" in line:
                process.send_signal(number)
                break
        output = process.stdout.read()
        watchdog.cancel()
    assert process.returncode == status, output
    assert "Aggregated" in output  # Locust had the time for its summary
    assert "run-time limit reached" not in output  # and was not left to run on alone
    with pytest.raises(ProcessLookupError):
        os.killpg(server_pid, 0)


def test_a_missed_threshold_of_a_running_server_fails_the_run():
    args = ["--users", "8", "--max-p95-ms", "0.001", "SingleImage"]
    for seconds in LONGER_S:
        with fake_server() as url:
            status, output = run("--seconds", str(seconds), "--url", url, *args)
        if has_rows(output, ["single image"]):
            break
    assert status == 1, output
    assert "FAILED: Locust ended with status 1" in output
    assert "above 0.001 ms" in output


def test_a_running_server_that_is_not_ready_fails_the_run():
    status, output = run("--url", "http://127.0.0.1:9")
    assert status == 1
    assert "the server at http://127.0.0.1:9 is not ready" in output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--seconds", "0"], "--seconds"),
        (["--shape", "wave"], "one of day, ramp, spike, steady, steps"),
        (["--slo", "none.toml"], "none.toml: No such file or directory"),
        (["--env", "PORT"], "NAME=VALUE"),
        (["--url", "http://127.0.0.1:9", "--env", "A=b"], "--url names a running one"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_starts(args, says):
    status, output = run(*args)
    assert status == 2
    assert says in output
