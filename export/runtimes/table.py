"""The table of what the runtimes made of the graphs, in Markdown."""

from export.runtimes.catalog import Runtime
from export.runtimes.trial import Result

HEAD = """\
| runtime | version | graph | loads | largest difference | the same values in batches of 1 and 7 | \
dynamic batch |
| --- | --- | --- | --- | --- | --- | --- |"""


def row(runtime: Runtime, results: dict[str, Result]) -> list[str]:
    """Return the lines of ``runtime``: one for each graph, or one for all if they are alike."""
    cells = {graph: _cells(result) for graph, result in results.items()}
    if len(set(cells.values())) == 1:
        cells = {"both": next(iter(cells.values()))}
    return [
        f"| {runtime.name} | {runtime.version} | {_code(graph)} | {' | '.join(each)} |"
        for graph, each in cells.items()
    ]


def notes(runtime: Runtime, results: dict[str, Result]) -> list[str]:
    """Return a line for each failure: why a graph is not drawn, or takes no batch of any size."""
    return [
        f"- {runtime.name}, `{graph}`{'' if result.levels is None else ' in any batch'}: "
        f"{result.failure}"
        for graph, result in results.items()
        if result.failure
    ]


def _code(graph: str) -> str:
    return graph if graph == "both" else f"`{graph}`"


def _cells(result: Result) -> tuple[str, ...]:
    if result.levels is None:
        return ("no", "", "", "")
    return ("yes", str(result.levels), _word(result.same_bytes), _word(result.dynamic))


def _word(yes: bool) -> str:
    return "yes" if yes else "no"
