"""The lineage of a model: the commits and the library versions with which it was trained.

A run that goes on may do so with other code than it began with. ``lineage.json`` in its directory
tells which epochs were trained with which.
"""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("tensorflow", "keras", "numpy", "pillow")
LINEAGE = "lineage.json"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that training uses."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = version("tensorflow-cpu" if name == "tensorflow" and _cpu() else name)
    return found


def _cpu() -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        return bool(version("tensorflow-cpu"))
    except PackageNotFoundError:
        return False


def git_commit() -> str | None:
    """Return the commit of this code, marked ``-dirty`` if it was altered; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() or None


def note_code(out: Path, done: int) -> None:
    """Note that the epochs after ``done`` are trained with this code and these libraries."""
    now = {"git_commit": git_commit(), "versions": versions()}
    earlier = [entry for entry in _noted(out) if entry["from_epoch"] <= done]
    if not done or earlier[-1] != earlier[-1] | now:
        earlier.append({"from_epoch": done + 1, **now})
    write_json(out / LINEAGE, {"trained_with": earlier})


def trained_with(out: Path, epoch: int) -> list[dict[str, Any]]:
    """Return what the epochs up to ``epoch`` were trained with, the newest code last.

    Each entry has ``from_epoch``, ``git_commit`` and ``versions``.
    """
    return [entry for entry in _noted(out) if entry["from_epoch"] <= epoch]


def _noted(out: Path) -> list[dict[str, Any]]:
    path = out / LINEAGE
    if not path.exists():  # the run is new, or older than the notes: nobody knows its code any more
        return [{"from_epoch": 1, "git_commit": None, "versions": {}}]
    return list(json.loads(path.read_text())["trained_with"])


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Write ``facts`` to ``path`` atomically: a reader never sees half of them."""
    draft = path.with_suffix(".tmp")
    with draft.open("w") as file:
        file.write(json.dumps(facts, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())  # without it, a power cut may leave an empty file under this name
    draft.replace(path)
