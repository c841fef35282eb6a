"""Every fault that ``make chaos`` knows, once, under load that counts."""

import os
import sys

import pytest

from tests.chaos.callers import Client, Clients
from tests.chaos.faults import FAULTS, until, victim

PYTHON = os.environ.get("SERVE_PYTHON", sys.executable)


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    with victim(PYTHON, tmp_path_factory.mktemp("chaos")) as harmed:
        yield harmed


@pytest.fixture(scope="module")
def golden(harmed):
    return Client(harmed.server.url).npy(0, 64)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_under_load_loses_no_request_and_draws_no_wrong_image(harmed, golden, fault):
    clients = Clients(harmed.server.url, golden, 6)

    def await_answers(count):
        wanted = clients.counts["requests"] + count
        until(
            lambda: clients.counts["requests"] + clients.counts["errors"] >= wanted,
            f"fewer than {wanted} answers: {clients.counts}",
        )

    try:
        await_answers(15)
        fault.strike(harmed)
        await_answers(15)
        until(harmed.is_whole, "the server is not whole again")
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
