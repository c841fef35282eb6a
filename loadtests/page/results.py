"""The results in ``loadtests/results``: of what kind each is, and where it comes from."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.serving import ROOT

RESULTS = ROOT / "loadtests/results"
BENCH, OVERLOAD, COMPARE, CAPACITY = "bench", "overload", "compare", "capacity"
REPLICA, AUTOSCALING, SCALING = "replica", "autoscaling", "scaling"
TUNE, PEAK, OTHER = "tune", "peak", "other"
COMMANDS = {
    "loadtests.bench": BENCH,
    "loadtests.overload": OVERLOAD,
    "loadtests.compare": COMPARE,
    "loadtests.capacity": CAPACITY,
    "loadtests.simulate measure": REPLICA,
    "loadtests.simulate recommend": AUTOSCALING,
    "loadtests.scaling": SCALING,
    "loadtests.tune": TUNE,
    "loadtests.peak": PEAK,
}
"""The kinds of results that the page has, by the commands that make them."""
MODULE = re.compile(r"python -m (loadtests\.\S+(?: measure| recommend)?)")


@dataclass(frozen=True)
class Result:
    """One file of results."""

    name: str
    """The file's name without its suffix."""
    kind: str
    facts: dict[str, Any]

    @property
    def hardware(self) -> str:
        """Return what it was measured on, without the vendor's marks."""
        return str(self.facts.get("hardware", "simulated")).replace("(R)", "")

    @property
    def place(self) -> str:
        """Return the hardware and the date, as there are several machines of a kind."""
        return f"{self.hardware}, {self.origin[0]}"

    @property
    def command(self) -> str:
        """Return the command that made it, as one types it; empty if its file does not tell."""
        return str(self.facts.get("command", ""))

    @property
    def origin(self) -> tuple[str, str]:
        """Return the date and the commit of the measurement."""
        return str(self.facts["date"])[:10], str(self.facts["commit"])


def read(folder: Path = RESULTS) -> list[Result]:
    """Return all results in the order of their names; ``OTHER`` are those without a section."""
    found = []
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text())
        module = MODULE.search(str(facts.get("command", "")))
        kind = COMMANDS.get(module[1], OTHER) if module else OTHER
        found.append(Result(path.stem, kind, facts))
    return found
