"""Readings of a server's metrics, and the hardware on which it runs."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtests.serving import ROOT, Server, get


class MeasureError(Exception):
    """The measurement could not be made, or a request failed during it."""


@dataclass(frozen=True)
class Reading:
    """The server's counters so far, or the difference of two readings, from its metrics."""

    cpu_s: float
    images: float
    batches: float
    inference_s: float

    @classmethod
    def of(cls, server: Server) -> "Reading":
        """Read ``server`` now."""
        text = get(f"{server.url}/metrics").decode()
        names = ("batch_rows_sum", "batch_rows_count", "inference_seconds_sum")
        values = (float(one(rf"carfront_{name} (\S+)", text)) for name in names)
        spent = re.findall(r"carfront_process_cpu_seconds_total{.*} (\S+)", text)
        return cls(sum(map(float, spent)), *values)

    def __sub__(self, other: "Reading") -> "Reading":
        mine, theirs = asdict(self), asdict(other)
        return Reading(**{name: mine[name] - theirs[name] for name in mine})


def hardware() -> str:
    """Return a text with the number of CPUs that may be used, their name and best vector unit."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*:\s*(.+)", info)
    features = [x for x in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f" {x}" in info]
    cpus = len(os.sched_getaffinity(0))
    model = name[1] if name else platform.processor()
    return f"{cpus} CPUs, {model} ({features[0] if features else 'no AVX2'})"


def origin(command: str) -> dict[str, object]:
    """Return where results come from: the command, the machine, the commit and the time."""
    now = datetime.now(UTC).isoformat(timespec="minutes")
    return {"command": command, "hardware": hardware(), "commit": commit_of(ROOT), "date": now}


def save(path: Path, command: str, facts: Mapping[str, object]) -> None:
    """Write ``facts`` to ``path`` as JSON, behind where they come from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(origin(command) | dict(facts), indent=1) + "\n")


def commit_of(folder: str | Path) -> str:
    """Return the commit of the checkout in ``folder``, with "-dirty" where it was altered.

    Results that were saved there before are no alteration.
    """

    def git(*command: str) -> str:
        asked = ["git", "-C", str(folder), *command]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()

    if not (commit := git("rev-parse", "--short", "HEAD")):
        return "unknown"
    altered = git("diff", "--name-only", "HEAD", "--", ".", ":(exclude)loadtests/results")
    return f"{commit}-dirty" if altered else commit


def one(pattern: str, text: str) -> str:
    """Return the first group of the first match of ``pattern`` in ``text``.

    Raises:
        MeasureError: there is no match.
    """
    found = re.search(pattern, text)
    if found is None:
        raise MeasureError(f"there is no {pattern} in: {text.strip()}")
    return found[1]
