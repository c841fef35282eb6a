"""The lineage of a model: the commit and the library versions with which it was trained."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("tensorflow", "keras", "numpy", "pillow")


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


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Write ``facts`` to ``path`` atomically: a reader never sees half of them."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(facts, indent=2) + "\n")
    draft.replace(path)
