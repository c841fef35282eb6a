"""The plots of the page, as small SVGs: the same results give the same files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.page.replica_tables import STEPS, replica_loads, steps
from loadtests.page.results import Result

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "carfront", "font.size": 9}
"""Text stays text, and the names of shapes are the same each time."""
Draw = Callable[[Axes, Sequence[Result]], None]


def write(path: Path, draw: Draw, results: Sequence[Result], height: float = 3.0) -> None:
    """Write what ``draw`` makes of the results as an SVG."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.2, height), layout="constrained")
        draw(figure.add_subplot(), results)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def bench(axes: Axes, results: Sequence[Result]) -> None:
    """Draw the served share of ``session.run`` alone: medians, and all rounds as points."""
    names = list(results[0].facts["loads"])
    for number, result in enumerate(results):
        for place, name in enumerate(names):
            ratios = result.facts["loads"][name]["ratios"]
            at = place + (number - (len(results) - 1) / 2) * 0.25
            label = result.place if not place else None
            axes.bar(at, median(ratios), 0.22, color=f"C{number}", alpha=0.5, label=label)
            axes.plot([at] * len(ratios), ratios, ".", color="black", markersize=3)
    axes.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=7)
    axes.set(ylabel="of session.run alone")
    axes.legend(fontsize=8)


def request(axes: Axes, results: Sequence[Result]) -> None:
    """Draw where the time of one request goes, a bar for each load, and ``session.run`` alone."""
    result = results[-1]
    loads = replica_loads(result)
    lefts = [0.0] * len(loads)
    found = [steps(load, result.facts["latents_ms"]) for load in loads.values()]
    for number, (step, words) in enumerate(STEPS.items()):
        widths = [each[step] for each in found]
        axes.barh(range(len(loads)), widths, left=lefts, color=f"C{number}", label=words)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    alone_ms = 1e3 / result.facts["raw"]["one_session"]["1"]
    axes.barh(len(loads), alone_ms, color="black", alpha=0.5, label="session.run alone, one image")
    axes.set_yticks(range(len(loads) + 1), [*loads, "alone"])
    axes.set(xlabel="ms", ylabel="share of the capacity")
    axes.legend(fontsize=7)


def autoscaling(axes: Axes, results: Sequence[Result]) -> None:
    """Draw what each candidate costs in a day, and how late it is in the spike."""
    (result,) = results
    kinds = {"base": "CPU", "keda": "capacity and queue delay", "alone": "one of the two alone"}
    kinds["prometheus-adapter"] = "both and CPU, each pod's"
    for number, (of, words) in enumerate(kinds.items()):
        rows = [each for each in result.facts["rows"] if each["of"] == of]
        cost, late = zip(*map(_place, rows), strict=True)
        axes.plot(cost, late, "o", color=f"C{number}", markersize=4, alpha=0.6, label=words)
    for row in result.facts["rows"]:
        if result.facts["recommended"].get(row["of"]) == row["signals"]:
            cost_of, late_of = _place(row)
            axes.plot(cost_of, late_of, "o", color="black", markersize=9, fillstyle="none")
            axes.text(cost_of, late_of - 0.8, row["of"], fontsize=8, ha="center", va="top")
    axes.set(xlabel="replica hours a day", ylabel="late in the spike, %")
    axes.legend(fontsize=8)


def _place(row: dict[str, Any]) -> tuple[float, float]:
    """Return the mean cost of a day, and the largest share of late requests, over processors."""
    outcomes = row["outcomes"].values()
    cost = sum(each["day"]["replica_hours"] for each in outcomes) / len(outcomes)
    return cost, 100 * max(each["spike"]["late"] for each in outcomes)
