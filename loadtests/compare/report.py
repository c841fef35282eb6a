"""The results of a comparison: a table of medians in Markdown, and all rounds as JSON."""

import json
from collections.abc import Sequence
from statistics import median

from loadtests.compare.columns import Round
from loadtests.compare.contenders import Contender
from loadtests.compare.environments import versions
from loadtests.compare.units import UNITS
from loadtests.readings import commit_of, hardware, origin


def table(rounds: Sequence[Round], contenders: Sequence[Contender]) -> str:
    """Return the medians, and their ratios to the first server's; a row a column of the results."""
    first = contenders[0].name
    lines = [
        f"{hardware()}; medians of {len(rounds)} rounds, ratio to {first} in brackets",
        "",
        "| | " + " | ".join(x.name for x in contenders) + " |",
        "| --- |" + " ---: |" * len(contenders),
    ]
    measured = {name for found in rounds for each in found.values() for name in each.values}
    for column in (name for name in UNITS if name in measured):
        cells = [_cell(rounds, column, each.name, first) for each in contenders]
        lines.append(f"| {column} ({UNITS[column]}) | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *dashes(rounds)]).rstrip()


def _cell(rounds: Sequence[Round], column: str, name: str, first: str) -> str:
    values = [x[name].values[column] for x in rounds if column in x[name].values]
    if not values:
        return "-"
    pairs = [
        x[name].values[column] / x[first].values[column]
        for x in rounds
        if column in x[name].values and x[first].values.get(column)
    ]
    ratio = f" ({median(pairs):.2f})" if pairs else ""
    value = median(values)
    return f"{value:,.0f}{ratio}" if value >= 100 else f"{value:,.2f}{ratio}"


def dashes(rounds: Sequence[Round]) -> list[str]:
    """Return a line for each reason why a server has no value in some columns."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for found in rounds:
        for name, each in found.items():
            for column, reason in each.dashes.items():
                reasons.setdefault((name, reason), {})[column] = None
    return [f"- {n}: {', '.join(columns)}: {why}" for (n, why), columns in reasons.items()]


def facts(
    command: str, rounds: Sequence[Round], contenders: Sequence[Contender], skipped: dict[str, str]
) -> dict[str, object]:
    """Return all that is saved of a comparison."""
    return {
        **origin(command),
        "versions": {x.name: _versions(x) for x in contenders},
        "skipped": skipped,
        "rounds": [{name: each.values for name, each in found.items()} for found in rounds],
        "dashes": dashes(rounds),
    }


def _versions(contender: Contender) -> dict[str, str]:
    packages = contender.peer.packages if contender.peer else ()
    found: dict[str, str] = json.loads(versions(contender.python, packages))
    if contender.is_ours:
        found["commit"] = commit_of(contender.place)
    return found
