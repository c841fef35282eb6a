"""Folders that cannot be written, or are full, for as long as a ``with`` block lasts.

Mode bits do not stop root, so root gets a mount where the machine allows one.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing in ``folder`` be made or altered."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    with _mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield


@contextmanager
def full(folder: Path, left: int) -> Iterator[None]:
    """Lay over ``folder`` an empty disk that holds ``left`` bytes."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={left}", "none"):
        yield


@contextmanager
def _mounted(folder: Path, *what: str) -> Iterator[None]:
    try:
        done = subprocess.run(["mount", *what, str(folder)], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount: {error}")
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
