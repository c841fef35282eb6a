"""Charts as inline SVG: lines, histograms and bars, with ticks and units, in the page's colours.

Colours come from the page's style sheet (``series-0``, ``series-1``, ``ink``, ``faint``), so that
a chart is readable in dark mode, too. Sizes are for a phone: the text stays legible at 340 pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 44
"""The margins around the plotted area, for labels and legend."""
BINS = 40


@dataclass(frozen=True)
class Series:
    """One line of a chart: a name for the legend, and points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Axes:
    """The texts of a chart: a title, which screen readers read, and labels with units."""

    title: str
    x: str
    y: str
    whole_x: bool = False
    """Whether only whole numbers have a meaning along the x axis, as of epochs."""


def line_chart(axes: Axes, lines: Sequence[Series], from_zero: bool = True) -> str:
    """Return a chart of up to two ``lines`` over a common axis."""
    x_low, x_high = _range([x for line in lines for x in line.x])
    y_low, y_high = _range([y for line in lines for y in line.y])
    y_low = min(0.0, y_low) if from_zero else y_low
    plot = _Plot(x_low, x_high, y_low, y_high, x_step=1.0 if axes.whole_x else 0.0)
    drawn = [
        f'<polyline class="series-{k}" points="{plot.points(line)}"/>'
        for k, line in enumerate(lines)
    ]
    return _figure(axes, plot, [line.name for line in lines], drawn)


def histogram(axes: Axes, samples: dict[str, NDArray[np.float64]]) -> str:
    """Return the distributions of up to two ``samples``, in per cent of each, as outlines."""
    low, high = _range(np.concatenate(list(samples.values())).tolist())
    edges = np.linspace(low, high, BINS + 1)
    outlines = []
    for name, values in samples.items():
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        x = np.repeat(edges, 2)
        y = np.concatenate([[0], np.repeat(shares, 2), [0]])
        outlines.append(Series(name, x.tolist(), y.tolist()))
    return line_chart(axes, outlines)


def bar_chart(axes: Axes, groups: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    """Return bars in groups: each group, by its label, has a value for each of two ``names``."""
    highest = max(value for values in groups.values() for value in values)
    plot = _Plot(0, len(groups), 0, 1.12 * highest or 1, x_ticks=False)
    width = 0.8 / len(names)
    drawn = []
    for at, (label, values) in enumerate(groups.items()):
        for k, value in enumerate(values):
            left, right = (plot.at_x(at + 0.1 + width * side) for side in (k, k + 1))
            top, foot = plot.at_y(value), plot.at_y(0)
            drawn.append(
                f'<rect class="bar-{k}" x="{left + 2:.1f}" y="{top:.1f}" '
                f'width="{right - left - 4:.1f}" height="{foot - top:.1f}"/>'
                + _text((left + right) / 2, top - 4, f"{value:.1f}", "middle")
            )
        drawn.append(_text(plot.at_x(at + 0.5), HEIGHT - BOTTOM + 15, label, "middle"))
    return _figure(axes, plot, names, drawn)


@dataclass(frozen=True)
class _Plot:
    """The plotted area: the values that it spans, and their positions."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    x_ticks: bool = True
    x_step: float = 0.0
    """The smallest step from tick to tick along the x axis."""

    def at_x(self, value: float) -> float:
        part = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        part = (value - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def points(self, line: Series) -> str:
        pairs = zip(line.x, line.y, strict=True)
        return " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in pairs)


def ticks(low: float, high: float, count: int = 5, least: float = 0.0) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``, by steps of 1, 2, 5 x 10^k.

    The steps are ``least`` or more.
    """
    rough = max((high - low) / count, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _figure(axes: Axes, plot: _Plot, names: Sequence[str], drawn: Sequence[str]) -> str:
    parts = [*_grid(plot), *drawn, *_legend(names), *_labels(axes)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(axes.title)}">'
        f"<title>{escape(axes.title)}</title>" + "".join(parts) + "</svg>"
    )


def _grid(plot: _Plot) -> list[str]:
    right, foot = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value in ticks(plot.y_low, plot.y_high):
        y = plot.at_y(value)
        parts.append(f'<line class="faint" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.6g}", "end"))
    along = ticks(plot.x_low, plot.x_high, least=plot.x_step) if plot.x_ticks else []
    parts += [_text(plot.at_x(x), foot + 15, f"{x:.6g}", "middle") for x in along]
    return [*parts, f'<line class="ink" x1="{LEFT}" y1="{foot}" x2="{right}" y2="{foot}"/>']


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], float(LEFT)
    for k, name in enumerate(names):
        parts.append(f'<rect class="bar-{k}" x="{x:.0f}" y="8" width="10" height="10"/>')
        parts.append(_text(x + 14, 17, name, "start"))
        x += 34 + 6.2 * len(name)
    return parts


def _labels(axes: Axes) -> list[str]:
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {middle:.0f})"'
    return [
        _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 8, axes.x, "middle"),
        _text(12, middle, axes.y, "middle", turned),
    ]


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place} {more}>{escape(words)}</text>"


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, moved apart if they are equal."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
