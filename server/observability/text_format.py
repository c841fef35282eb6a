"""Counters and histograms as text: Prometheus's format, or OpenMetrics with the times of beginning.

Source: https://prometheus.io/docs/instrumenting/exposition_formats,
https://prometheus.io/docs/specs/om/open_metrics_spec.
"""

from collections.abc import Iterable
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray
from prometheus_client.utils import floatToGoString

from server.observability.totals import Child, Family, Labels

NOWHERE = -1
"""The place of a line that has no series of its own: what a histogram's buckets have together."""


class TextLayout:
    """The text of all series but for their values, which change from scrape to scrape.

    ``begun_at`` is when the counting began, in seconds since 1970, and has the text be OpenMetrics,
    but for its end; None has it be Prometheus's own format.
    """

    def __init__(self, families: Iterable[Family], begun_at: float | None = None) -> None:
        self._begun_at = begun_at
        self._texts: list[str] = []
        """What stands before each value."""
        self._pending = ""
        """What stands before the next series."""
        places: list[int] = []
        firsts: list[int] = []
        for family in families:
            self._pending += self._head_of(family)
            for child in family.children.values():
                self._add_buckets(family, child, places, firsts)
                for name, place in child.plain.items():
                    self._add(name, child.labels, place, places)
                    firsts.append(NOWHERE)
                self._pending += self._beginning_of(family, child)
        self._places = np.array(places, np.intp)
        first = np.array(firsts, np.intp)
        self._is_summed = first != NOWHERE
        """Whether a line tells of a bucket together with those below it."""
        self._firsts = np.where(self._is_summed, first, 0)
        """The line of the histogram's first bucket."""

    def filled(self, sums: NDArray[np.float64]) -> str:
        """Return the text with the value of each series in ``sums``: float64 [series]."""
        own = np.append(sums, 0.0)[self._places]
        counts = np.where(self._is_summed, own, 0.0)
        until = np.cumsum(counts)
        below = until - until[self._firsts] + counts[self._firsts]
        values = map(repr, np.where(self._is_summed, below, own).tolist())
        lines = zip(self._texts, values, repeat("\n"), strict=False)
        return "".join(chain.from_iterable(lines)) + self._pending

    def _head_of(self, family: Family) -> str:
        name, help_text = family.name, family.help_text.replace("\\", r"\\").replace("\n", r"\n")
        if self._begun_at is None and family.kind == "counter":
            name += "_total"
        if self._begun_at is not None:
            help_text = help_text.replace('"', r"\"")
        return f"# HELP {name} {help_text}\n# TYPE {name} {family.kind}\n"

    def _beginning_of(self, family: Family, child: Child) -> str:
        """Return the line that tells when a counter or a histogram began at 0."""
        if self._begun_at is None:
            return ""
        return f"{family.name}_created{_written(child.labels)} {self._begun_at!r}\n"

    def _add_buckets(
        self, family: Family, child: Child, places: list[int], firsts: list[int]
    ) -> None:
        if not child.buckets:
            return
        first = len(self._texts)
        for bound, place in sorted(child.buckets.items()):
            told = floatToGoString(bound)  # type: ignore[no-untyped-call]
            labels = (*child.labels, ("le", told))
            self._add(f"{family.name}_bucket", labels, place, places)
        self._add(f"{family.name}_count", child.labels, NOWHERE, places)
        firsts += [first] * (len(self._texts) - first)

    def _add(self, name: str, labels: Labels, place: int, places: list[int]) -> None:
        self._texts.append(f"{self._pending}{name}{_written(labels)} ")
        self._pending = ""
        places.append(place)


def _written(labels: Labels) -> str:
    """Return labels as they stand behind a name."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
