"""What all processes of the server counted, added up from the files in which each keeps its own."""

import json
import operator
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_INTEGER, _DOUBLE = struct.Struct("i").unpack_from, struct.Struct("d").unpack_from


class Totals(Collector):
    """What the processes of ``folder`` counted, added up.

    prometheus_client's own collector takes each process's series apart before it adds them up,
    and so takes three times as long with 16 HTTP workers. And it fails where a process that starts
    removes a gauge's file between its look at the folder and into the file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        for prefix, totals in self._totals().items():
            kind = prefix.partition("_")[0]
            families: dict[str, Metric] = {}
            for series, value in totals.items():
                family = series.family
                if family not in families:
                    families[family] = Metric(family, series.help_text, kind)
                families[family].add_sample(series.name, series.labels, value)
            for metric in families.values():
                if kind == "histogram":
                    _cumulate(metric)
                yield metric

    def _totals(self) -> dict[str, dict["_Series", float]]:
        """Return the value of each series, by the kind of its files, such as ``gauge_max``."""
        totals: dict[str, dict[_Series, float]] = defaultdict(dict)
        for file in sorted(self._folder.glob("*.db")):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                continue
            prefix = file.name.rpartition("_")[0]
            _join(totals[prefix], data, max if prefix == "gauge_max" else operator.add)
        return totals


@dataclass(frozen=True, eq=False)
class _Series:
    """One series; there is one object of each."""

    family: str
    help_text: str
    name: str
    labels: dict[str, str]


_known: dict[tuple[Any, ...], _Series] = {}


@cache
def _series(key: bytes) -> _Series:
    """Return the series that a file calls ``key``; another release may explain it otherwise."""
    family, name, labels, help_text = json.loads(key)
    return _known.setdefault((name, *labels.items()), _Series(family, help_text, name, labels))


def _join(totals: dict[_Series, float], data: bytes, join: Callable[[float, float], float]) -> None:
    """Join the values in a file of ``prometheus_client.mmap_dict``, which tells of the format."""
    used, at = _INTEGER(data)[0] if data else 0, 8  # an empty file was made just now
    while at < used:
        end = at + 4 + _INTEGER(data, at)[0]
        series = _series(data[at + 4 : end])
        at = end + 8 - (end - at) % 8
        value = _DOUBLE(data, at)[0]
        totals[series] = join(totals[series], value) if series in totals else value
        at += 16


def _cumulate(histogram: Metric) -> None:
    """Have each bucket count what is in those below it too, and add the count of all.

    Processes that run different releases may have different buckets.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in histogram.samples:
        groups[tuple(x for x in sample.labels.items() if x[0] != "le")].append(sample)
    histogram.samples = []
    for labels, samples in groups.items():
        count = 0.0
        for sample in sorted(samples, key=lambda sample: float(sample.labels.get("le", "-inf"))):
            if "le" in sample.labels:
                count += sample.value
                sample = sample._replace(value=count)
            histogram.samples.append(sample)
        histogram.add_sample(f"{histogram.name}_count", dict(labels), count)
