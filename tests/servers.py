"""Servers of the tests: the real ones, with settings that suit a machine that is busy with more."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtests import serving as starting
from loadtests.serving import Server
from tests.chaos import faults
from tests.chaos.faults import Victim
from tests.chaos.processes import all_workers_connected
from tests.patience import PATIENCE_S

PYTHON = os.environ.get("SERVE_PYTHON", sys.executable)
"""The interpreter that has the server's libraries."""
LARGE_BATCHES = {"CARFRONT_MAX_BATCH_SIZE": "0"}
"""The default of the server, for tests in which batches should be large."""
SMALL_BATCHES = {"CARFRONT_MAX_BATCH_SIZE": "8"}
"""Few sizes are soon compiled; few tests are about the size of a batch."""
NO_TIMEOUTS = {
    "CARFRONT_REQUEST_TIMEOUT_MS": f"{PATIENCE_S * 1000}",
    "CARFRONT_BATCH_TIMEOUT_MS": f"{PATIENCE_S * 1000}",
    "GUNICORN_CMD_ARGS": f"--timeout {PATIENCE_S}",
}
"""Processes that a busy machine lets stand still are not taken to hang, nor requests refused."""
DEFAULT_TIMEOUTS = {"CARFRONT_BATCH_TIMEOUT_MS": "10000", "GUNICORN_CMD_ARGS": ""}
"""The defaults of the server, for tests of processes that hang."""
UNHURRIED = {
    **NO_TIMEOUTS,
    "CARFRONT_READ_TIMEOUT_S": f"{PATIENCE_S}",
    "CARFRONT_SEND_TIMEOUT_S": f"{PATIENCE_S}",
    "CARFRONT_KEEPALIVE_S": f"{2 * PATIENCE_S}",
}
"""A machine that is slow for a while refuses nobody, and ends no connection, for lack of time."""
DRAIN = f"--graceful-timeout {2 * PATIENCE_S} --dirty-graceful-timeout {2 * PATIENCE_S}"
"""A server that is told to stop finishes what it has. One that only its limit would end does not
stop within ``PATIENCE_S``, and so fails a test."""
PATIENT = {**UNHURRIED, "GUNICORN_CMD_ARGS": f"{UNHURRIED['GUNICORN_CMD_ARGS']} {DRAIN}"}


def until(condition: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Poll ``condition`` until it holds, and return what it returned; fail when it is too late."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)  # between two looks, not instead of one
    return found


def connected(server: Server, timeout_s: float = PATIENCE_S) -> socket.socket:
    """Return a bare connection to ``server``."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=timeout_s)


def get(url: str) -> bytes:
    """Return the body at ``url``, as ``loadtests.serving`` does, however long that takes."""
    return starting.get(url, PATIENCE_S)


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a server's log, which is JSON, without one that is still written."""
    whole, _, _ = log.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


@contextmanager
def serving(python: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server as ``loadtests.serving`` does: patient, with small batches, all of it there.

    What ``env`` says goes before either.
    """
    settings = {**PATIENT, **SMALL_BATCHES, **(env or {})}
    with starting.serving(
        python,
        settings,
        ready_within_s=PATIENCE_S,
        stop_within_s=PATIENCE_S,
        last_child_s=PATIENCE_S,
    ) as server:
        until(lambda: all_workers_connected(server.pid))
        yield server


def victim(
    python: str | Path,
    folder: Path,
    worker_count: int = 2,
    env: Mapping[str, str] | None = None,
) -> AbstractContextManager[Victim]:
    """Start a server that may be harmed, as ``serving`` does."""
    return faults.victim(python, folder, worker_count, env, serving)
