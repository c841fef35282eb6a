"""The environments of the runtimes: made once in a folder that the user names, by pip and npm."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from export.runtimes.catalog import Runtime

DONE = ".done"
"""The file that an environment has once all of its packages are in it."""
ERROR = re.compile(r"(npm )?[\w.]*error:? ", re.IGNORECASE)
"""The beginning of an error's line, of Python, pip and npm."""
MOST_TOLD = 200
"""The characters of a runtime's error that are shown at most."""
SECONDS = 1800
"""The seconds that an installation may take; the largest is of two gigabytes."""


class RuntimeFailed(Exception):
    """A runtime cannot be installed, or cannot draw a graph; the message is one sentence."""


def environment(runtime: Runtime, cache: Path) -> Path:
    """Return the folder in ``cache`` with the packages of ``runtime``, installed if need be.

    Runtimes of the same packages share it.

    Raises:
        RuntimeFailed: the program that installs is missing, or ends with an error.
    """
    kind = "python" if runtime.host == "python" else "npm"
    digest = hashlib.sha256("\n".join(runtime.packages).encode()).hexdigest()[:8]
    folder = cache.resolve() / f"{runtime.packages[0].replace('/', '-')}-{kind}-{digest}"
    if not (folder / DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for command in _commands(runtime, kind, folder):
            run(command, folder, SECONDS)
        (folder / DONE).touch()
    return folder


def _commands(runtime: Runtime, kind: str, folder: Path) -> list[list[str]]:
    if kind == "npm":
        return [["npm", "install", "--no-audit", "--no-fund", "--silent", *runtime.packages]]
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input"]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--disable-pip-version-check", *runtime.packages],
    ]


def run(command: list[str], folder: Path, seconds: float) -> None:
    """Run ``command`` in ``folder`` and wait for its end.

    Raises:
        RuntimeFailed: it is not there, takes too long, or ends with an error.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError as error:
        raise RuntimeFailed(f"{name} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailed(f"{name} took more than {seconds:.0f} s") from error
    if done.returncode:
        raise RuntimeFailed(told(done.stdout) or f"{name} ended with {done.returncode}")


def told(output: str) -> str:
    """Return the line of ``output`` that says what failed: the last error, or the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.match(line)]
    return " ".join((errors or lines or [""])[-1].split())[:MOST_TOLD]
