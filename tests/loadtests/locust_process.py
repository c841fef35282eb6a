"""Locust in a process of its own, for as long as a test wants to see something of it."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from loadtests.serving import ROOT
from tests.loadtests.fakes import LOADTEST_PYTHON
from tests.servers import PATIENCE_S

LOCUST = [LOADTEST_PYTHON, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"]
PATIENT_MASTER = Path(__file__).with_name("patient_master")
"""On the Python path of Locust, this has a master wait for workers that stand still."""
LONGER_S = (5, 50, 500)
"""The seconds of a run, and of the next one where a slow machine did not ask for everything."""
ANY_PACE = ("--max-p95-ms", f"{PATIENCE_S * 1000}")
"""The options of a run that does not fail for the time that a slow machine takes."""


def start(*args: str, command: list[str] = LOCUST) -> subprocess.Popen[str]:
    """Start Locust, or another ``command``, with ``args``."""
    path = os.pathsep.join([str(PATIENT_MASTER), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [*command, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of ``process``, and return its status and all it printed."""
    return stopped(process, lambda _: False)


def stopped(process: subprocess.Popen[str], seen: Callable[[str], object]) -> tuple[int, str]:
    """Stop ``process`` by Ctrl-C once a line is what ``seen`` waits for.

    Return its status and all it printed. One that never prints it is killed.
    """
    with process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if seen(line):
                process.send_signal(signal.SIGINT)
                break
        lines += process.stdout.readlines()
        watchdog.cancel()
    return process.returncode, "".join(lines)


def counts(name: str, at_least: int = 1) -> Callable[[str], bool]:
    """Return what waits until Locust's table has so many requests of a name."""
    row = re.compile(rf"^\w+ +{re.escape(name)} +(\d+)")
    return lambda line: bool((found := row.match(line)) and int(found[1]) >= at_least)


def has_rows(output: str, names: Iterable[str]) -> bool:
    """Return whether our report has a row of each of ``names``."""
    return all(_rows(output, name) for name in names)


def row(output: str, name: str) -> list[int]:
    """Return how many requests of ``name`` were good, refused, late and failed, by our report."""
    (found,) = _rows(output, name)
    return [int(each.replace(",", "")) for each in found]


def _rows(output: str, name: str) -> list[tuple[str, ...]]:
    """Return the four numbers of each row of ``name`` in our report."""
    report = output.partition("Exact times")[2]
    return re.findall(
        rf"^{re.escape(name)} +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) ", report, re.MULTILINE
    )
