"""Real Locust against a server that is right, or wrong in one way."""

import subprocess

import pytest

from loadtests.serving import ROOT
from tests.loadtests.fakes import LOADTEST_PYTHON, fake_server

pytestmark = pytest.mark.servers
PAGE, SHEETS, BULK = "PageView", "SmallBatch", "Bulk"


def locust(url: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a few seconds of load."""
    command = [LOADTEST_PYTHON, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"]
    command += ["--only-summary", "--host", url, "-u", "8", "-r", "8", "-t", "4s", *args]
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )


def test_a_right_server_passes_with_users_of_every_kind():
    with fake_server() as url:
        run = locust(url, "-u", "16")
    assert run.returncode == 0, run.stdout
    for name in ("{seed}.png", "n=16 png", "n=64..256 npy", "to compare", "a bad request"):
        assert name in run.stdout


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("unsteady", PAGE, "gave other bytes than before"),
        ("batches differ", SHEETS, "differs from the PNG of its seed"),
        ("batches differ", BULK, "differs from the PNG of its seed"),
        ("lenient", PAGE, "status of a bad request is 200"),
        ("busy", PAGE, "503, wanted 200: No (Retry-After 3)"),
    ],
)
def test_a_wrong_answer_is_a_failure_with_a_sentence_and_fails_the_run(fault, kind, says):
    with fake_server(fault) as url:
        run = locust(url, kind)
    assert run.returncode == 1, run.stdout
    assert says in run.stdout
    assert "requests failed" in run.stdout


def test_a_slow_server_fails_by_the_limit_that_the_caller_chose():
    with fake_server("slow") as url:
        run = locust(url, PAGE, "--max-p95-ms", "40")
    assert run.returncode == 1, run.stdout
    assert "the limit is 40 ms" in run.stdout
    assert "requests failed" not in run.stdout


def test_failures_within_the_allowed_ratio_do_not_fail_the_run():
    with fake_server("busy") as url:
        run = locust(url, PAGE, "--max-failure-ratio", "1")
    assert run.returncode == 0, run.stdout


def test_a_server_that_is_not_there_fails_the_run():
    run = locust("http://127.0.0.1:9", PAGE)  # the discard port: nobody listens
    assert run.returncode == 1, run.stdout
    assert "100.00%" in run.stdout
