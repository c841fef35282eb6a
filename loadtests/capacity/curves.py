"""Draws the latency against the load."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from loadtests.capacity.report import Result


def draw(path: Path, results: Sequence[Result]) -> None:
    """Write the curves of all kinds of requests as one SVG.

    A line is the latency at the objective's percentile, a dotted one the median; both are medians
    of the trials at a rate. A circle stands where the capacity and the latency's limit meet.
    """
    # Text stays text, and the same results give the same file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "carfront", "font.size": 9}
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.2, 4), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log")
        for number, result in enumerate(results):
            ink, images = f"C{number}", result.kind.images
            rates, middles, tails = latencies(result)
            loads = [rate * images for rate in rates]
            axes.plot(loads, tails, ".-", color=ink, linewidth=1, label=str(result.kind))
            axes.plot(loads, middles, ":", color=ink, linewidth=1)
            if result.found.capacity is not None:
                place = [result.found.capacity * images], [result.slo.limit_ms]
                axes.plot(*place, "o", color=ink, markerfacecolor="none")
        axes.set(xlabel="images a second that are asked for", ylabel="latency, ms")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def latencies(result: Result) -> tuple[list[float], list[float], list[float]]:
    """Return rates, and the median and tail latency in ms at each.

    A curve ends where the latency is beyond twice its limit: there the queue grows for as long as
    the trial lasts, and the latency tells of the trial alone.
    """
    rates, middles, tails = [], [], []
    for rate, group in groupby(result.trials, key=lambda trial: trial.rate):
        trials = list(group)
        tail = median(trial.tail_ms for trial in trials)
        if 0 < tail <= 2 * result.slo.limit_ms:
            rates.append(rate)
            tails.append(tail)
            middles.append(median(trial.p50_ms for trial in trials))
    return rates, middles, tails
