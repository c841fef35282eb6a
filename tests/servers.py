"""Servers of the tests: the real ones, with settings that suit a machine that is busy with more."""

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

PYTHON = os.environ.get("SERVE_PYTHON", sys.executable)
"""The interpreter that has the server's libraries."""
LARGE_BATCHES = {"CARFRONT_MAX_BATCH_SIZE": "0"}
"""The default of the server, for tests in which batches should be large."""
SMALL_BATCHES = {"CARFRONT_MAX_BATCH_SIZE": "8"}
"""Few sizes are soon compiled; few tests are about the size of a batch."""
PATIENT = {"CARFRONT_REQUEST_TIMEOUT_MS": "600000"}
"""A machine that is slow for a while refuses nobody for lack of time."""
PATIENCE_S = 600.0
"""The seconds that a test waits at most for what happens within one on most machines."""


def python_that_drains_long(folder: Path) -> Path:
    """Return an interpreter whose servers, told to stop, finish what they have for ``PATIENCE_S``.

    A slow machine does not draw in gunicorn's 30 s what a test has asked for before SIGTERM.
    """
    python = folder / "python-that-drains-long"
    limits = f"--graceful-timeout {PATIENCE_S:.0f} --dirty-graceful-timeout {PATIENCE_S:.0f}"
    python.write_text(f'#!/bin/sh\nexec {PYTHON} "$@" {limits}\n')
    python.chmod(0o755)
    return python


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


def serving(
    python: str | Path, env: Mapping[str, str] | None = None, stop_within_s: float = 40.0
) -> AbstractContextManager[Server]:
    """Start a server as ``loadtests.serving`` does: patient, and with small batches.

    What ``env`` says goes before either.
    """
    settings = {**PATIENT, **SMALL_BATCHES, **(env or {})}
    return starting.serving(python, settings, stop_within_s=stop_within_s)


@contextmanager
def victim(
    python: str | Path,
    folder: Path,
    worker_count: int = 2,
    env: Mapping[str, str] | None = None,
    stop_within_s: float = 40.0,
) -> Iterator[Victim]:
    """Start a server that may be harmed, with the same settings as ``serving``."""
    settings = {**PATIENT, **SMALL_BATCHES, **(env or {})}
    with faults.victim(python, folder, worker_count, settings, stop_within_s) as harmed:
        yield harmed
