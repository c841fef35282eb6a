"""Servers of the tests: the real ones, with settings that suit a machine that is busy with more."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

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
) -> Iterator[Victim]:
    """Start a server that may be harmed, with the same settings as ``serving``."""
    settings = {**PATIENT, **SMALL_BATCHES, **(env or {})}
    with faults.victim(python, folder, worker_count, settings) as harmed:
        yield harmed
