"""Draws the dashboard's panels with matplotlib, each where Grafana would have it."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # there is no display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tests.k8s.prometheus import Prometheus
from tests.k8s.test_dashboard import DASHBOARD, Panel

WINDOW = "10s"
COLUMN_INCHES, LINE_INCHES, GAP = 0.6, 0.3, 0.25
"""The size of Grafana's grid here, and what is left free around a panel, in its columns."""
MOST_LINES = 12
UNITS = {"s": 1e3, "percentunit": 1e2, "bytes": 2**-20}
UNIT_NAMES = {"s": "ms", "percentunit": "%", "bytes": "MiB", "short": "", "reqps": "req/s"}
COLORS = {"green": "#3a9a4b", "orange": "#e0752d", "red": "#c4162a"}

Series = tuple[str, list[tuple[float, float]]]
"""The name of a series, and its times, as seconds since the beginning, with their values."""


def draw(prometheus: Prometheus, seconds: int, path: Path) -> None:
    """Draw all panels, with the values of the last ``seconds``, into a picture at ``path``."""
    panels = list(_moved_up(DASHBOARD["panels"]))
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    size = (24 * COLUMN_INCHES, lines * LINE_INCHES)
    figure = plt.figure(figsize=size, dpi=72, facecolor="white")
    for panel in panels:
        if panel["type"] == "row":
            _write_row(figure, panel, lines)
            continue
        axes = figure.add_axes(_place(panel["gridPos"], lines))
        axes.set_title(panel["title"], fontsize=10, loc="left", fontweight="bold")
        axes.tick_params(labelsize=8)
        _draw_panel(axes, panel, _values(prometheus, panel, seconds))
    figure.savefig(path)
    plt.close(figure)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _moved_up(panels: list[Panel]) -> Iterator[Panel]:
    """Yield the panels with the places that they have while closed rows take no room."""
    closed = 0
    for panel in panels:
        place = panel["gridPos"]
        yield panel | {"gridPos": place | {"y": place["y"] - closed}}
        closed += max((x["gridPos"]["h"] for x in panel.get("panels", ())), default=0)


def _place(grid: dict[str, int], lines: int) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height of a panel's axes, as shares of the figure."""
    left, width = grid["x"] + 3 * GAP, grid["w"] - 4 * GAP
    above, height = grid["y"] + 1.1, grid["h"] - 2.2
    return left / 24, 1 - (above + height) / lines, width / 24, height / lines


def _write_row(figure: Figure, row: Panel, lines: int) -> None:
    closed = f" ({len(row['panels'])} panels, closed)" if row["collapsed"] else ""
    y = 1 - (row["gridPos"]["y"] + 0.5) / lines
    figure.text(0.01, y, row["title"] + closed, fontsize=12, fontweight="bold", va="center")
    figure.add_artist(plt.Line2D((0.01, 0.99), (y - 0.5 / lines,) * 2, color="#cccccc"))


def _values(prometheus: Prometheus, panel: Panel, seconds: int) -> list[Series]:
    """Return the series of all queries of a panel."""
    found: list[Series] = []
    for target in panel["targets"]:
        for each in prometheus.history(target["expr"], seconds, WINDOW):
            labels: dict[str, str] = each["metric"]
            told = target.get("legendFormat") or ", ".join(labels.values())
            name = re.sub(r"{{(\w+)}}", lambda x, y=labels: y.get(x[1], ""), told)  # type: ignore[misc]
            points = [(float(at), float(value)) for at, value in each["values"]]
            found.append((name, [(at, value) for at, value in points if math.isfinite(value)]))
    return found


def _draw_panel(axes: Axes, panel: Panel, series: list[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    scale = UNITS.get(unit, 1.0)
    if not series:
        _write(axes, defaults.get("noValue", ""), "#888888")
    elif panel["type"] == "stat":
        _draw_stat(axes, defaults, series, scale)
    elif panel["type"] == "table":
        lasting = [(name, points[-1][1]) for name, points in series if points[-1][1]]
        told = "\n".join(f"{value:.0f}  {name}" for name, value in lasting[:6])
        _write(axes, told, "black", size=9, at=0.0)
    elif panel["type"] == "heatmap":
        _draw_heat(axes, series)
    else:
        _draw_lines(axes, panel, series, scale)
        axes.set_ylabel(UNIT_NAMES.get(unit, unit.removeprefix("suffix: ")), fontsize=7)


def _draw_stat(axes: Axes, defaults: dict[str, Any], series: list[Series], scale: float) -> None:
    steps = (defaults.get("thresholds") or {}).get("steps", [])
    value = max(points[-1][1] for _, points in series)
    color = "green"
    for step in steps:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    name = UNIT_NAMES.get(defaults["unit"], "")
    digits = 0 if defaults.get("decimals") == 0 else 1
    _write(axes, f"{value * scale:.{digits}f} {name}".strip(), COLORS[color], size=20)


def _draw_lines(axes: Axes, panel: Panel, series: list[Series], scale: float) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    is_stepped = custom.get("lineInterpolation") == "stepAfter"
    largest = sorted(series, key=lambda each: -max((x for _, x in each[1]), default=0.0))
    begin = min(points[0][0] for _, points in series if points)
    below: dict[float, float] = dict.fromkeys((at for _, points in series for at, _ in points), 0.0)
    for name, points in largest[:MOST_LINES]:
        times = [at - begin for at, _ in points]
        values = [value * scale for _, value in points]
        if "stacking" in custom:
            lower = [below[at] for at, _ in points]
            values = [a + b for a, b in zip(values, lower, strict=True)]
            below |= {at: value for (at, _), value in zip(points, values, strict=True)}
            axes.fill_between(times, lower, values, alpha=0.3)
        style = "steps-post" if is_stepped else "default"
        axes.plot(times, values, label=name, linewidth=1.2, drawstyle=style)
    axes.set_ylim(bottom=0)
    axes.grid(color="#eeeeee")
    axes.legend(fontsize=8, loc="upper left", framealpha=0.6)
    axes.margins(x=0)


def _draw_heat(axes: Axes, series: list[Series]) -> None:
    """Draw how many took how long: what Prometheus tells of a bucket holds those below it."""
    by_bound = sorted((float(name), dict(points)) for name, points in series)
    times = sorted({at for _, points in by_bound for at in points})
    below = np.array([[points.get(at, 0.0) for at in times] for _, points in by_bound])
    counts = np.diff(below, axis=0, prepend=0.0)
    axes.pcolormesh(
        np.array(times) - times[0], np.arange(len(by_bound)), np.sqrt(counts), cmap="Blues"
    )
    rows = range(0, len(by_bound), 4)
    axes.set_yticks(list(rows), [f"{by_bound[row][0] * 1e3:g} ms" for row in rows])


def _write(axes: Axes, text: str, color: str, size: int = 10, at: float = 0.5) -> None:
    axes.set_axis_off()
    side = "left" if at == 0.0 else "center"
    axes.text(at, 0.5, text, fontsize=size, color=color, ha=side, va="center")
