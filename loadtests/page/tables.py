"""The tables of the page, each made of results of one kind."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from loadtests.page.results import RESULTS, Result


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, whose first column is text."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bench(results: Sequence[Result]) -> str:
    """Return what each processor serves, load by load, beside ``session.run`` alone."""
    columns = "load", "images/s", "of `session.run`", "p50", "p99", "CPU an image", "images a batch"
    parts = []
    for result in results:
        rows = [_bench_row(*load) for load in result.facts["loads"].items()]
        told = f"{result.place}, medians of {result.facts['rounds']} rounds:"
        parts.append(f"{told}\n\n{markdown(columns, rows)}")
    return "\n\n".join(parts)


def _bench_row(name: str, load: dict[str, Any]) -> list[str]:
    return [
        name,
        f"{load['images_per_s']:,.0f}",
        f"{load['ratio']:.2f}",
        f"{load['p50_ms']:,.1f} ms",
        f"{load['p99_ms']:,.1f} ms",
        f"{load['cpu_us_per_image']:,.0f} us",
        f"{load['mean_batch']:.0f}",
    ]


def spread(results: Sequence[Result]) -> str:
    """Return how far single rounds of the bench are from their median."""
    columns = "processor, load", "rounds", "lowest", "median", "highest"
    rows = []
    for result in results:
        for name, load in result.facts["loads"].items():
            ratios, middle = load["ratios"], median(load["ratios"])
            lowest, highest = (f"{end / middle - 1:+.0%}" for end in (min(ratios), max(ratios)))
            place = f"{result.place}: {name}"
            rows.append([place, str(len(ratios)), lowest, f"{middle:.2f}", highest])
    return markdown(columns, rows)


def overload(results: Sequence[Result]) -> str:
    """Return what is delivered while ten times as much is asked for."""
    columns = "processor", "peak, images/s", "delivered", "rounds", "accepted, p99", "refused, p99"
    rows = [
        [
            result.hardware,
            f"{result.facts['peak_images_per_s']:,.0f}",
            f"{result.facts['share']:.3f}",
            f"{min(result.facts['shares']):.3f} to {max(result.facts['shares']):.3f}",
            f"{result.facts['accepted_p99_s']:.2f} s",
            f"{1e3 * result.facts['refused_p99_s']:.0f} ms",
        ]
        for result in results
    ]
    return markdown(columns, rows)


def capacity(results: Sequence[Result]) -> str:
    """Return the highest rates at which an objective was kept, with the latency curves."""
    columns = "request", "objective", "requests/s", "idle"
    parts = []
    for result in results:
        rows = [
            [
                each["kind"],
                f"{each['slo']['limit_ms']:g} ms",
                f"{each['capacity']:,.0f}" if each["capacity"] else "-",
                f"{each['idle_ms']:.1f} ms",
            ]
            for each in result.facts["results"]
        ]
        curves = f"![latency against load](../loadtests/results/{result.name}.svg)"
        parts += [f"{result.hardware}:", markdown(columns, rows)]
        if (RESULTS / f"{result.name}.svg").exists():
            parts.append(curves)
    return "\n\n".join(parts)


def scaling(results: Sequence[Result]) -> str:
    """Return what more workers, larger batches, connections and images change."""
    parts = []
    for result in results:
        for name, points in result.facts["sweeps"].items():
            columns = name, "images/s", "rounds", "p50", "p99"
            rows = [_scaling_row(at, rounds) for at, rounds in points.items()]
            parts.append(f"{result.hardware}:\n\n{markdown(columns, rows)}")
    return "\n\n".join(parts)


def _scaling_row(at: str, rounds: Sequence[dict[str, float]]) -> list[str]:
    rates = [each["images_per_s"] for each in rounds]
    p50_ms, p99_ms = (median(each[name] for each in rounds) for name in ("p50_ms", "p99_ms"))
    span = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return [at, f"{median(rates):,.0f}", span, f"{p50_ms:,.1f} ms", f"{p99_ms:,.1f} ms"]


def tune(results: Sequence[Result]) -> str:
    """Return what settings gain over the defaults, and which to use."""
    columns = "settings", "requests/s", "gain", "rounds"
    parts = []
    for result in results:
        parts.append(f"{result.hardware}, `{result.facts['kind']}`:")
        for verdict in result.facts["verdicts"]:
            defaults = median(rate for both in verdict["defaults"] for rate in both)
            noise = f"noise {verdict['noise']:.1%}"
            rows = [["defaults", f"{defaults:,.0f}", "1.00", noise]]
            for settings, gains in verdict["gains"].items():
                rate = median(verdict["capacities"][settings])
                span = f"{min(gains):.2f} to {max(gains):.2f}"
                rows.append([f"`{settings}`", f"{rate:,.0f}", f"{median(gains):.2f}", span])
            parts.append(markdown(columns, rows))
        parts.append(f"So: {result.facts['advice']}.")
    return "\n\n".join(parts)


def processors(results: Sequence[Result]) -> str:
    """Return each kind of processor that was met: how many results, when, and of which commits."""
    met: dict[str, list[tuple[str, str]]] = {}
    for result in results:
        if "hardware" in result.facts:
            met.setdefault(result.hardware, []).append(result.origin)
    rows = []
    for hardware, origins in sorted(met.items()):
        dates = sorted(date for date, _ in origins)
        commits = dict.fromkeys(commit for _, commit in sorted(origins) if commit)
        span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        rows.append([hardware, str(len(origins)), span, ", ".join(commits)])
    return markdown(("processor", "results", "measured", "commits"), rows)


def sources(results: Sequence[Result]) -> str:
    """Return each file of results with its processor, date, commit and command."""
    rows = []
    for result in results:
        date, commit = result.origin
        link = f"[{result.name}](../loadtests/results/{result.name}.json)"
        command = f"`{result.command}`" if result.command else "-"
        rows.append([link, result.hardware, date, commit, command])
    return "\n".join(
        ["| results | on | date | commit | command |", "| --- | --- | --- | --- | --- |"]
        + [f"| {' | '.join(row)} |" for row in rows]
    )
