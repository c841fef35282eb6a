"""Several processes put load on one server, on one host or as the Job on Kubernetes starts them."""

import re
from contextlib import ExitStack

import pytest

from loadtests.serving import free_port
from tests.k8s.rendering import K8S
from tests.k8s.test_load_job import arguments, render_job
from tests.loadtests.fakes import LOADTEST_PYTHON, counting_server
from tests.loadtests.locust_process import ANY_PACE, LONGER_S, ended, has_rows, row, start

pytestmark = pytest.mark.servers
RUN = [LOADTEST_PYTHON, "-m", "loadtests.run"]
NAMES = ("front page", "single image", "16 to 64 as npy", "single image, to compare")


USERS = 8


def no_report_is_lost(output, answered):
    """Tell whether our report has all answers of the server, all of which have to be good.

    Locust ends a user in its pause; one that has just begun its next request goes uncounted.
    """
    found = [row(output, name) for name in NAMES]
    assert not any(number for _, *others in found for number in others)
    assert row(output, "all")[0] == sum(good for good, *_ in found)
    return 0 <= answered - row(output, "all")[0] <= USERS


def test_no_answer_is_lost_between_two_workers_on_one_host():
    args = ["--users", str(USERS), "--processes", "2", *ANY_PACE, "SingleImage", "Integrator"]
    for seconds in LONGER_S:
        with counting_server() as (url, answered):
            run = start("--seconds", str(seconds), "--url", url, *args, command=RUN)
            status, output = ended(run)
        if has_rows(output, NAMES):
            break
    assert status == 0, output
    assert "the generator: 2 processes with" in output
    assert no_report_is_lost(output, len(answered) - 1)  # one was the probe of the server


def test_a_missed_slo_ends_a_distributed_run_with_1():
    args = ["--users", str(USERS), "--processes", "2", "--max-p95-ms", "0.001", "SingleImage"]
    for seconds in LONGER_S:
        with counting_server() as (url, _):
            run = start("--seconds", str(seconds), "--url", url, *args, command=RUN)
            status, output = ended(run)
        if has_rows(output, ["single image"]):
            break
    assert status == 1, output
    assert re.search(r"MISSED.*p95 of 'single image' is .* above 0.001 ms", output)


def test_the_jobs_containers_find_each_other_and_judge_together():
    for seconds in LONGER_S:
        status, output, answered = judged_by_the_jobs_containers(seconds)
        if has_rows(output, NAMES):
            break
    assert "the generator: 2 processes with" in output
    assert no_report_is_lost(output, answered)
    assert "Shape test updating to 2 users" in output  # the first of four steps
    assert status == int("MISSED" in output)


def judged_by_the_jobs_containers(seconds):
    """Return the master's status and what it printed, and how many requests were answered."""
    port = str(free_port())
    resources = render_job()
    with counting_server() as (url, answered), ExitStack() as stack:
        changes = {
            "HOST": url,
            "USERS": str(USERS),
            "RUN_TIME": f"{seconds}s",
            "WORKERS": "2",
            "MASTER": "127.0.0.1",
        }
        of = {name: arguments(resources, name, changes) for name in ("master", "worker")}
        plan = [each.replace("/etc/carfront-load", str(K8S / "jobs/load")) for each in of["master"]]
        master = start("--master-bind-port", port, *plan, "SingleImage", "Integrator")
        for _ in range(2):
            users = ("SingleImage", "Integrator")
            worker = start("--master-port", port, *of["worker"], *users)
            stack.callback(ended, worker)
        return *ended(master), len(answered)
