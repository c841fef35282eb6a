"""The sections of the page: each says what was measured, and stands where there are results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.page import compared, plots, replica_tables, tables
from loadtests.page import results as kinds
from loadtests.page.results import Result


@dataclass(frozen=True)
class Section:
    """One section, made of the results of one kind."""

    title: str
    kind: str
    prose: str
    """What was measured, and by which command."""
    table: Callable[[Sequence[Result]], str]
    plot: tuple[str, plots.Draw, float] | None = None
    """The plot's name, what draws it, and its height in inches."""

    def text(self, results: Sequence[Result]) -> str:
        """Return the section in Markdown."""
        picture = [f"![{self.title}](performance/{self.plot[0]}.svg)"] if self.plot else []
        made = "Made by:\n\n" + "\n".join(f"- `{x.name}`: `{x.command}`" for x in results)
        return "\n\n".join([f"## {self.title}", self.prose, *picture, self.table(results), made])


SECTIONS = (
    Section(
        "Served beside `session.run` alone",
        kinds.BENCH,
        "`make bench` holds four loads against what the model alone reaches on the same machine "
        "in the same moments, with callers on the same processors. Points are single rounds.",
        tables.bench,
        ("bench", plots.bench, 3.4),
    ),
    Section(
        "How much a result moves",
        kinds.BENCH,
        "The lowest and the highest round of each load, beside their median: a difference that is "
        "smaller than this says nothing. Four servers started alike differed by 4 %.",
        tables.spread,
    ),
    Section(
        "One request",
        kinds.REPLICA,
        "Single PNGs at random times (Poisson), from callers on the same processors. "
        "`Server-Timing` tells queue, inference and encoding of each answer; the server's "
        "metrics tell the time "
        "from a request's last byte to its finished answer; the rest lies between server and "
        "caller. Latents are part of what the server tells as inference; one is made in the time "
        "that it takes alone. Means, at shares of the capacity; the last "
        "bar is `session.run` alone with one image.",
        replica_tables.requests,
        ("request", plots.request, 3.0),
    ),
    Section(
        "Distance from the limit",
        kinds.REPLICA,
        "Single PNGs of 64 callers without pause, beside `session.run` alone on the same machine, "
        "minutes before. A request for one image costs a request's work for each image, and "
        "smaller batches than the best one.",
        replica_tables.limits,
    ),
    Section(
        "The processor's peak",
        kinds.PEAK,
        "`make peak` counts the operations of the served graph, and times `session.run` alone of "
        "batches of 64 beside products of large matrices, by the same runtime with the same "
        "threads and precision: the most that the processors can do. An operation is one "
        "multiplication or one addition.",
        replica_tables.peaks,
    ),
    Section(
        "Workers, batches, connections, image sizes",
        kinds.SCALING,
        "`python -m loadtests.scaling` gives each point a server of its own, in turns. Callers are "
        "wrk's, on the same processors.",
        tables.scaling,
    ),
    Section(
        "Ten times the load",
        kinds.OVERLOAD,
        "`make overload` offers ten times what a server can draw, with a deadline of a second.",
        tables.overload,
    ),
    Section(
        "Side by side",
        kinds.COMPARE,
        "`make compare` runs servers in turns on one machine, with the same graph. Medians, and in "
        "brackets the median of the ratios to the first server, round by round. Below each table: "
        "where someone is ahead of this server by more than two servers started alike differ, and "
        "why.",
        compared.tables,
    ),
    Section(
        "Capacity",
        kinds.CAPACITY,
        "`python -m loadtests.capacity` searches the highest rate of requests at random times that "
        "keeps an objective.",
        tables.capacity,
    ),
    Section(
        "Settings that gain",
        kinds.TUNE,
        "`make tune` compares capacities under the defaults with those under other settings, in "
        "turns. Noise is by how much the defaults differ from themselves.",
        tables.tune,
    ),
    Section(
        "A replica, predicted",
        kinds.REPLICA,
        "`python -m loadtests.simulate check` simulates one replica request by request, with the "
        "server's own queue, from what its steps take, and holds the latencies against those that "
        "callers saw.",
        replica_tables.prediction,
    ),
    Section(
        "Autoscaling, simulated",
        kinds.AUTOSCALING,
        "`python -m loadtests.simulate recommend` simulates replicas of the processors of `make "
        "bench` under Kubernetes' autoscalers, with pods that serve 10 s after they are wished "
        "for: steps of half as much again every ten minutes, a spike of four times the load for "
        "five minutes, and a day with an evening. "
        "Late are requests that take more than 250 ms, or are refused. "
        "Ranges are the lowest and the highest of the processors. Bold is what `k8s/` ships: of "
        "the signals that keep 99 of 100 requests in time through the steps and the day, and 94 "
        "through the spike, on every processor, those with the fewest replica hours a day; 5 % "
        "fewer are no reason to change. A "
        "replica is two processors, and the CPU's target is a share of the one that it requests.",
        replica_tables.autoscaling,
        ("autoscaling", plots.autoscaling, 3.4),
    ),
)
SOURCES = "## Where the results come from"
BEGIN, END = "<!-- made by `make performance` -->", "<!-- end -->"


def body(results: Sequence[Result]) -> str:
    """Return all sections for which there are results."""
    of_kind = {section: [x for x in results if x.kind == section.kind] for section in SECTIONS}
    return "\n\n".join(section.text(own) for section, own in of_kind.items() if own)


def replaced(page: str, results: Sequence[Result]) -> str:
    """Return ``page`` with the part between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = [BEGIN, body(results), SOURCES, tables.processors(results), tables.sources(results), END]
    return before + "\n\n".join(made) + after
