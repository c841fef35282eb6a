"""The tables of one replica and of autoscaled ones: measured, predicted and simulated."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from loadtests.page.results import Result
from loadtests.page.tables import markdown

STEPS = {
    "handed": "read, parsed, handed to the engine and back",
    "latents": "latents",
    "queue": "queue",
    "infer": "inference",
    "encode": "encoded",
    "sent": "written, carried and read by the caller",
}
"""The steps of a request, in their order."""


def steps(load: dict[str, float], latents_ms: float) -> dict[str, float]:
    """Return the mean milliseconds of each step of a request.

    The server tells queue, inference with the latents, encoding, and the whole from a request's
    last byte to its finished answer; callers tell what lies between that and their own measure.
    """
    told = load["queue_ms"] + load["infer_ms"] + load["encode_ms"]
    return {
        "handed": load["server_ms"] - told,
        "latents": latents_ms,
        "queue": load["queue_ms"],
        "infer": load["infer_ms"] - latents_ms,
        "encode": load["encode_ms"],
        "sent": load["mean_ms"] - load["server_ms"],
    }


def replica_loads(result: Result) -> dict[str, dict[str, float]]:
    """Return the medians over the rounds of what was measured at each load."""
    rounds = result.facts["rounds"]
    return {
        share: {name: median(each["loads"][share][name] for each in rounds) for name in load}
        for share, load in rounds[0]["loads"].items()
    }


def requests(results: Sequence[Result]) -> str:
    """Return where one request's time goes, at each load."""
    parts = []
    for result in results:
        columns = "load", "images/s", *STEPS.values(), "all"
        rows = []
        for share, load in replica_loads(result).items():
            found = steps(load, result.facts["latents_ms"])
            times = [f"{value:.2f}" for value in found.values()]
            rows.append([share, f"{load['images_per_s']:,.0f}", *times, f"{load['mean_ms']:.2f}"])
        parts.append(f"{result.hardware}, milliseconds:\n\n{markdown(columns, rows)}")
    return "\n\n".join(parts)


def limits(results: Sequence[Result]) -> str:
    """Return how far a replica of single images is from ``session.run`` alone."""
    columns = (
        "processor",
        "served, images/s",
        "`session.run`, the same batch",
        "its best",
        "of the best",
    )
    rows = []
    for result in results:
        served = median(each["saturated"]["images_per_s"] for each in result.facts["rounds"])
        best = max(result.facts["raw"]["streams"].values())
        mean = median(each["saturated"]["mean_batch"] for each in result.facts["rounds"])
        sizes = {int(rows): rate for rows, rate in result.facts["raw"]["streams"].items()}
        near = min(sizes, key=lambda rows: abs(rows - mean))
        rows.append(
            [
                result.hardware,
                f"{served:,.0f}, batches of {mean:.0f}",
                f"{sizes[near]:,.0f}, batches of {near}",
                f"{best:,.0f}",
                f"{served / best:.2f}",
            ]
        )
    return markdown(columns, rows)


def peaks(results: Sequence[Result]) -> str:
    """Return how far ``session.run`` alone is from what the processors can do."""
    columns = (
        "processor",
        "large matrices, GFLOP/s",
        "an image, MFLOP",
        "`session.run` alone, images/s",
        "GFLOP/s",
        "of the peak",
    )
    rows = []
    for result in results:
        facts = result.facts
        reached = facts["images_per_s"] * facts["image_mflop"] / 1e3
        rows.append(
            [
                f"{result.hardware}, {facts['plan']}",
                f"{facts['peak_gflops']:,.0f}",
                f"{facts['image_mflop']:.1f}",
                f"{facts['images_per_s']:,.0f}",
                f"{reached:,.0f}",
                f"{reached / facts['peak_gflops']:.2f}",
            ]
        )
    return markdown(columns, rows)


def prediction(results: Sequence[Result]) -> str:
    """Return predicted latencies of one replica beside those that callers saw."""
    columns = "load", "images/s", "p50", "predicted", "p99 (rounds)", "predicted", "off"
    parts = []
    for result in results:
        rows = [
            [
                f"{each['share']:g}",
                f"{each['images_per_s']:,.0f}",
                f"{each['p50_ms']:.1f} ms",
                f"{each['predicted_p50_ms']:.1f} ms",
                f"{each['p99_ms']:.1f} ms ({_between(each)})",
                f"{each['predicted_p99_ms']:.1f} ms",
                f"{each['predicted_p99_ms'] / each['p99_ms'] - 1:+.0%}",
            ]
            for each in result.facts["compared"]
        ]
        parts.append(f"{result.hardware}:\n\n{markdown(columns, rows)}")
    return "\n\n".join(parts)


def _between(found: dict[str, float]) -> str:
    """Return the lowest and the highest p99 of the rounds."""
    return f"{found['lowest_p99_ms']:.1f} to {found['highest_p99_ms']:.1f}"


def autoscaling(results: Sequence[Result]) -> str:
    """Return what each signal and target keeps, and at what cost."""
    columns = (
        "signals",
        "late in steps",
        "in the spike",
        "in the day",
        "replica hours a day",
        "changes",
    )
    (result,) = results
    wanted = set(result.facts["recommended"].values())
    rows = []
    for each in result.facts["rows"]:
        outcomes = list(each["outcomes"].values())
        late = [_span(outcomes, load, "late", 100, 1) + " %" for load in ("steps", "spike", "day")]
        hours, changes = (_span(outcomes, "day", x, 1, 0) for x in ("replica_hours", "changes"))
        name = f"**{each['signals']}**" if each["signals"] in wanted else each["signals"]
        rows.append([name, *late, hours, changes])
    return markdown(columns, rows)


def _span(outcomes: Sequence[dict[str, Any]], load: str, name: str, times: int, digits: int) -> str:
    """Return the smallest and the largest value over the processors."""
    values = [times * each[load][name] for each in outcomes]
    ends = dict.fromkeys(f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return " to ".join(ends)
