"""The recommendation for ``k8s/``: as JSON, as a table, and held against what it ships."""

import json
from typing import Any

from loadtests.serving import ROOT
from loadtests.simulate import recommend
from loadtests.simulate.curve import Curve, curve_of
from loadtests.simulate.facts import Facts
from loadtests.simulate.manifests import Shipped, shipped

RESULTS = ROOT / "loadtests/results"
BENCHES = ("2-cpus-xeon-amx", "2-cpus-epyc-avx512", "2-cpus-epyc-avx2")
"""The results of ``loadtests.bench`` from whose processors replicas are simulated."""
START_S = 0.9
"""The seconds from a server's start until it is ready, see ``loadtests.compare``'s results."""


def curves(benches: tuple[str, ...] = BENCHES) -> dict[str, Curve]:
    """Return what one replica does at each load, on every processor that was measured."""
    return {name: curve_of(facts_of(name)) for name in benches}


def facts_of(bench: str) -> Facts:
    """Return what was measured of a replica by ``loadtests.bench``."""
    saved = json.loads((RESULTS / f"{bench}.json").read_text())
    return Facts.of_bench(saved, START_S)


def recommendation() -> dict[str, Any]:
    """Return every candidate's row, and the signals that each autoscaler should have."""
    found = []
    for row in recommend.rows(curves()):
        found.append(row)
        print(_line(row), flush=True)
    return {"rows": found, "recommended": recommended(found)}


def recommended(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the signals that each autoscaler of ``k8s/`` should have."""
    return {of: recommend.recommended(rows, of, told(each)) for of, each in shipped().items()}


def told(scaler: Shipped) -> str:
    """Return the signals that an autoscaler has, in words."""
    return ", ".join(map(str, scaler.signals))


def faults(found: dict[str, Any]) -> list[str]:
    """Return a text for each autoscaler that ships other signals than the recommended ones."""
    texts = []
    for name, each in shipped().items():
        has, wanted = told(each), found["recommended"][name]
        if has != wanted:
            texts.append(f"{name} has {has}; the simulation recommends {wanted}")
    return texts


def table(found: dict[str, Any]) -> str:
    """Return the result as a table in Markdown: the span over the processors."""
    lines = ["| signals | steps, late | spike, late | day, late | replica hours a day | changes |"]
    lines.append("| --- |" + " ---: |" * 5)
    lines += [_line(row) for row in found["rows"]]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    outcomes = list(row["outcomes"].values())
    late = [
        "-".join(dict.fromkeys(f"{100 * x:.1f}" for x in _span(outcomes, load, "late"))) + " %"
        for load in ("steps", "spike", "day")
    ]
    hours = "-".join(f"{x:.0f}" for x in _span(outcomes, "day", "replica_hours"))
    changes = "-".join(f"{x:.0f}" for x in _span(outcomes, "day", "changes"))
    return f"| {row['signals']} | {' | '.join(late)} | {hours} | {changes} |"


def _span(outcomes: list[dict[str, Any]], load: str, name: str) -> tuple[float, float]:
    """Return the smallest and the largest value over the processors."""
    values = [each[load][name] for each in outcomes]
    return min(values), max(values)
