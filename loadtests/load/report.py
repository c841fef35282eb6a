"""The report of a load test: exact percentiles, and each kind of refusal and fault."""

from loadtests.load.record import Outcomes, Record
from loadtests.percentile import percentile

PERCENTILES = (50, 95, 99, 99.9, 100)


def table(record: Record) -> str:
    """Return a table of all requests by their names: numbers, and exact times of good answers."""
    names = sorted(record.of)
    width = max(map(len, (*names, "request")))
    head = f"{'request':{width}} {'good':>9} {'refused':>8} {'late':>6} {'failed':>7}"
    lines = [head + "".join(f" {_column(each):>10}" for each in PERCENTILES) + "  (ms)"]
    lines += [f"{name:{width}} {_row(record.of[name])}" for name in names]
    if len(names) > 1:
        lines.append(f"{'all':{width}} {_row(record.total())}")
    return "\n".join(lines)


def kinds(record: Record) -> list[str]:
    """Return one line for each kind of refusal, lateness and fault, the most frequent first."""
    lines = []
    for name, outcomes in sorted(record.of.items()):
        for what in ("refused", "late", "failed"):
            counter = getattr(outcomes, what)
            lines += [f"{n:>9,} {what}, {name}: {kind}" for kind, n in counter.most_common()]
    return lines


def _column(percent: float) -> str:
    return "max" if percent == 100 else f"p{percent:g}"


def _row(outcomes: Outcomes) -> str:
    times = outcomes.good_ms
    cells = [f"{percentile(times, x):10,.2f}" if times else f"{'-':>10}" for x in PERCENTILES]
    counts = (
        f"{len(times):9,} {outcomes.refused.total():8,} {outcomes.late.total():6,} "
        f"{outcomes.failed.total():7,}"
    )
    return " ".join([counts, *cells])
