"""Every fault that ``make chaos`` knows, once, under load that counts."""

import pytest

from tests.chaos.callers import Client, Clients
from tests.chaos.faults import FAULTS, order, until
from tests.servers import DEFAULT_TIMEOUTS, LARGE_BATCHES, PYTHON, victim

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    with victim(PYTHON, tmp_path_factory.mktemp("patient"), env=LARGE_BATCHES) as harmed:
        yield harmed


@pytest.fixture(scope="module")
def watchful(tmp_path_factory):
    """A server that replaces what hangs, HTTP workers later than a busy machine stands still."""
    env = LARGE_BATCHES | DEFAULT_TIMEOUTS | {"GUNICORN_CMD_ARGS": "--timeout 40"}
    with victim(PYTHON, tmp_path_factory.mktemp("watchful"), env=env) as harmed:
        yield harmed


@pytest.fixture(scope="module")
def golden(patient):
    return Client(patient.server.url).npy(0, 64)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_under_load_loses_no_request_and_draws_no_wrong_image(fault, golden, request):
    harmed = request.getfixturevalue("watchful" if "hangs" in fault.name else "patient")
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
        if "SIGHUP" not in fault.name:  # only a worker that stops ends connections so soon
            assert clients.counts["late requests"] == 0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("raise", "failed; each request runs again alone"),
        ("memory", "MemoryError: no memory, says the sabotage"),
        ("hang", "the engine hangs, and ends"),
    ],
)
def test_sabotaged_batch_is_told_in_the_log(watchful, golden, how, told):
    """The sabotage is real: without it the test above would prove nothing of ONNX Runtime's."""

    def times():
        return watchful.server.log.read_text().count(told)

    before = times()
    clients = Clients(watchful.server.url, golden, 6)
    try:
        order(watchful, how)
        until(lambda: times() > before, f"the log does not say: {told}")
        until(watchful.is_whole, "the server is not whole again")
    finally:
        clients.stop()
