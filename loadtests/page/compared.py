"""The tables of servers that were measured in turns, and where another one is ahead of ours."""

import re
from collections.abc import Sequence
from statistics import median

from loadtests.compare.units import MORE_IS_BETTER, UNITS
from loadtests.page.results import Result
from loadtests.page.tables import markdown

ALIKE = 0.05
"""The share by which servers that were started alike may differ."""
OURS = re.compile(r"(\S+)=\.(?:\s|$)")
"""The name of this checkout's server in the command."""
ONE_PROCESS = "one process takes requests and draws, ours hands each request to another"
FEWER_PROCESSES = "fewer processes; ours has an HTTP worker a processor, and one that draws"
NO_PNG = "it is sent latents and answers pixels: it makes no latents and encodes no PNG"
CPP = "its HTTP server is C++, which leaves inference more of the processors than our Python does"
IN_CPP = (
    "two processes, of which the one that takes requests is C++; ours are five, all of them Python"
)
CHECKED = "ours draws golden images and compares them before it says that it is ready"
REASONS = {
    ("starlette", "1 connection"): ONE_PROCESS,
    ("starlette", "CPU of singles"): ONE_PROCESS,
    ("starlette", "memory"): FEWER_PROCESSES,
    ("starlette", "start"): CHECKED,
    ("starlette", "first image"): CHECKED,
    ("granian", "memory"): FEWER_PROCESSES,
    ("granian", "start"): CHECKED,
    ("granian", "1 connection"): ONE_PROCESS,
    ("mosec", "start"): CHECKED,
    ("flask", "1 connection"): ONE_PROCESS,
    ("flask", "start"): CHECKED,
    ("flask", "first image"): CHECKED,
    ("mlserver", "1 connection"): ONE_PROCESS,
    ("mlserver", "memory"): FEWER_PROCESSES,
    ("mosec", "memory"): FEWER_PROCESSES,
    ("triton", "1 connection"): NO_PNG,
    ("triton", "32 connections"): NO_PNG,
    ("triton", "128 connections"): NO_PNG,
    ("triton", "64 images a request"): NO_PNG,
    ("triton", "memory"): IN_CPP,
    ("triton", "1 binary row"): CPP,
    ("triton", "CPU of 1 binary row"): CPP,
    ("triton", "CPU of singles"): NO_PNG,
    ("triton", "CPU of 64 a request"): NO_PNG,
}
"""Why a peer is ahead in a column, where that is known; how each is built tells it."""
Rounds = Sequence[dict[str, dict[str, float]]]


def tables(results: Sequence[Result]) -> str:
    """Return medians of servers that were measured in turns, with ratios to the first of each."""
    return "\n\n".join(map(_table, results))


def _table(result: Result) -> str:
    rounds: Rounds = result.facts["rounds"]
    names = list(rounds[0])
    measured = {key for each in rounds for found in each.values() for key in found}
    ordered = [column for column in UNITS if column in measured]
    rows = [
        [_titled(column), *(_cell(rounds, column, name, names[0]) for name in names)]
        for column in [*ordered, *sorted(measured - UNITS.keys())]
    ]
    told = f"`{result.name}`: {result.hardware}, {len(rounds)} rounds in turns:"
    dashes = [re.sub(r": Running .*", ".", line) for line in result.facts.get("dashes", [])]
    lines = [*dict.fromkeys(dashes), *ahead(result)]
    return "\n\n".join([told, markdown(["", *names], rows), *filter(None, ["\n".join(lines)])])


def _titled(column: str) -> str:
    return f"{column} ({UNITS[column]})" if column in UNITS else column


def _cell(rounds: Rounds, column: str, name: str, first: str) -> str:
    """Return a median, and the median of the ratios to the first server in brackets."""
    values = [each[name][column] for each in rounds if column in each[name]]
    if not values:
        return "-"
    value, ratio = median(values), _ratio(rounds, column, name, first)
    text = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
    return text if name == first or ratio is None else f"{text} ({ratio:.2f})"


def _ratio(rounds: Rounds, column: str, name: str, other: str) -> float | None:
    """Return the median of the ratios of one server to another, round by round, if any has both."""
    both = [each for each in rounds if column in each[name] and each[other].get(column)]
    return median(each[name][column] / each[other][column] for each in both) if both else None


def ahead(result: Result) -> list[str]:
    """Return a line for each column in which another server is ahead of ours, with the reason."""
    found = OURS.search(result.command)
    rounds: Rounds = result.facts["rounds"]
    if found is None or found[1] not in rounds[0]:
        return []
    lines = []
    for name in rounds[0]:
        for column in (column for column in UNITS if name != found[1]):
            ratio = _ratio(rounds, column, name, found[1])
            if ratio and _is_ahead(column, ratio):
                why = REASONS.get((name, column), "why is not known yet")
                lines.append(f"- {name} is ahead in `{column}`, {ratio:.2f} of ours: {why}.")
    return lines


def _is_ahead(column: str, ratio: float) -> bool:
    """Return whether a ratio to ours is better than that of servers that are alike."""
    return (ratio if UNITS[column] in MORE_IS_BETTER else 1 / ratio) > 1 + ALIKE
