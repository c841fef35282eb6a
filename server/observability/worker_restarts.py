"""Counts the HTTP workers, and gRPC processes, that died: others have taken their places."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.config import ServerConfig
from server.observability.process_stats import process_of, register_process

KINDS = ("http-*", "grpc-*")
"""The names of the workers, as their notes have them."""


def register(worker: Any, name: str) -> None:
    """Note that this process is the ``worker`` of that name, and how many it finds dead."""
    os.environ["PROMETHEUS_MULTIPROC_SLOT"] = name
    folder = ServerConfig.from_env().processes_path
    worker.dead = sum(_is_cleared(note) for kind in KINDS for note in folder.glob(kind))
    register_process(folder, name)


def count(worker: Any) -> None:
    """Count what the ``worker`` found; by now it has files of its own."""
    from server.observability import metrics

    metrics.WORKER_RESTARTS.inc(worker.dead)


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Remove the note of a worker that ends as it was told: only the dead leave theirs.

    gunicorn calls this hook while what ends the process is on its way, and once in its arbiter.
    """
    _, error, _ = sys.exc_info()
    if worker.pid == os.getpid() and isinstance(error, SystemExit) and not error.code:
        note = ServerConfig.from_env().processes_path / os.environ["PROMETHEUS_MULTIPROC_SLOT"]
        with suppress(OSError):  # the folder may be gone
            note.unlink()


def _is_cleared(note: Path) -> bool:
    """Remove a note if its process is dead; tell whether it was this process that removed it."""
    with suppress(OSError):
        process_of(note)
        return False
    with suppress(OSError):  # another has removed it
        note.unlink()
        return True
    return False
