"""Every fault that ``make chaos`` knows, once, under load that counts."""

import os
import sys
import time

import pytest

from tests.chaos.callers import Client, Clients
from tests.chaos.faults import FAULTS, family, victim

PYTHON = os.environ.get("SERVE_PYTHON", sys.executable)
WORKERS = 2


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chaos")
    with victim(PYTHON, folder, CARFRONT_WORKERS=str(WORKERS)) as harmed:
        yield harmed


@pytest.fixture(scope="module")
def golden(harmed):
    return Client(harmed.server.url).npy(0, 64)


def until(condition, within_s=60.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)  # between two looks


def is_whole(harmed):
    """Whether every process of the server is there, and an engine answers."""
    workers, engines, arbiters = family(harmed.server.pid)
    if (len(workers), len(engines), len(arbiters)) != (WORKERS, 1, 1):
        return False
    metrics = Client(harmed.server.url).ask("GET", "/metrics")
    return b'carfront_engine_up{engine="0"} 1.0' in metrics


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_under_load_loses_no_request_and_draws_no_wrong_image(harmed, golden, fault):
    clients = Clients(harmed.server.url, golden, 6)

    def await_answers(count):
        wanted = clients.counts["requests"] + count
        until(lambda: clients.counts["requests"] + clients.counts["errors"] >= wanted)

    try:
        await_answers(15)
        fault.strike(harmed)
        await_answers(15)
        until(lambda: is_whole(harmed))
        await_answers(15)
    finally:
        clients.stop()
    assert clients.errors == []
    assert clients.counts["wrong answers"] == 0
    if "HTTP worker" not in fault.name:  # one that is killed takes its connections along
        assert clients.counts["broken connections"] == 0


def test_batch_that_raises_is_tried_again_and_told_in_the_log(harmed):
    """The sabotage is real: without it the test above would prove nothing of ONNX Runtime's."""
    log = harmed.server.log.read_text()
    assert "failed; each request runs again alone" in log
    assert "the engine hangs, and ends" in log
    assert "MemoryError" in log and "no memory, says the sabotage" in log
