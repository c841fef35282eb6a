"""The results of searches, as a table, as JSON and as curves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from loadtests import readings
from loadtests.capacity.kinds import Kind
from loadtests.capacity.search import Found
from loadtests.capacity.slo import Slo
from loadtests.capacity.trial import Trial
from loadtests.readings import hardware

COLUMNS = (
    "request",
    "objective",
    "requests/s",
    "images/s",
    "missed at",
    "p50",
    "tail",
    "server's CPU a request",
    "generator's CPU a request",
    "generator late by",
)


@dataclass
class Result:
    """What was found for one kind of request."""

    kind: Kind
    slo: Slo
    idle_ms: float
    """The latency of an idle server."""
    found: Found
    curve: list[Trial] = field(default_factory=list)
    """Trials at shares of the capacity."""

    @property
    def trials(self) -> list[Trial]:
        """All trials that say something of the server, in the order of their rates."""
        all_of_them = [*self.found.trials, *self.curve]
        sound = [x for x in all_of_them if not self.slo.generator_fault(x)]
        return sorted(sound, key=lambda trial: trial.rate)

    def facts(self) -> dict[str, object]:
        """Return the result for JSON."""
        search = self.found.search
        return {
            "kind": str(self.kind),
            "slo": asdict(self.slo),
            "idle_ms": self.idle_ms,
            "capacity": self.found.capacity,
            "missed": search.missed,
            "settled": search.has_settled,
            "generator_fault": self.found.generator_fault,
            "trials": [rounded(asdict(trial)) for trial in self.found.trials],
            "curve": [rounded(asdict(trial)) for trial in self.curve],
        }


def table(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown; a rate's times are medians of its trials."""
    lines = [hardware(), "", f"| {' | '.join(COLUMNS)} |", "| --- | --- |" + " ---: |" * 8]
    return "\n".join([*lines, *map(_row, results)])


def _row(result: Result) -> str:
    head = f"| {result.kind} | {result.slo} |"
    search, capacity = result.found.search, result.found.capacity
    if result.found.generator_fault:
        least = f"at least {search.kept:,.0f}" if search.kept else "unknown"
        return f"{head} {least}: {result.found.generator_fault} |" + " |" * 7
    if capacity is None:
        return f"{head} none: idle it takes {result.idle_ms:.1f} ms |" + " |" * 7
    missed = f"{search.missed:,.0f}" if search.missed else "never"
    trials = [trial for trial in result.found.trials if trial.rate == capacity]
    middle = {name: median(asdict(x)[name] or 0 for x in trials) for name in TIMES}
    return (
        f"{head} {'' if search.has_settled else 'unsettled: '}{capacity:,.0f} | "
        f"{capacity * result.kind.images:,.0f} | {missed} | {middle['p50_ms']:.1f} ms | "
        f"{middle['tail_ms']:.1f} ms | {middle['server_us']:,.0f} us | "
        f"{middle['generator_us']:,.0f} us | {middle['late_ms']:.1f} ms |"
    )


TIMES = ("p50_ms", "tail_ms", "server_us", "generator_us", "late_ms")
"""The fields of a trial that a row of the table has."""


def save(path: Path, command: str, results: Sequence[Result]) -> None:
    """Write the results as ``path``.json, and their curves as ``path``.svg."""
    from loadtests.capacity.curves import draw  # matplotlib takes a second

    found = [result.facts() for result in results]
    readings.save(path.with_suffix(".json"), command, {"results": found})
    draw(path.with_suffix(".svg"), results)


def rounded(facts: dict[str, object]) -> dict[str, object]:
    """Return facts whose numbers have five digits."""
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in facts.items()
    }
