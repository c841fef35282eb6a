"""What ``/metrics`` tells: the metrics of all processes, in the format that the caller asks for."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from server.observability import known_series, metrics
from server.observability.gpus import Gpus
from server.observability.multiprocess import AllProcesses
from server.observability.process_stats import ProcessStats
from server.observability.text_format import TextLayout
from server.observability.totals import Files, Series

OPENMETRICS = "application/openmetrics-text"
VERSIONS = ("1.0.0", "0.0.1", None)
"""The versions of OpenMetrics that are told; None stands for a caller that names none."""
END = "# EOF\n"
"""The last line of OpenMetrics."""


class Exposition:
    """The metrics of all processes, as this process reads them.

    ``routes`` are those of the application. ``processes`` is the directory in which the processes
    are registered; None leaves out their metrics.
    """

    def __init__(self, routes: Iterable[str] = (), processes: Path | None = None) -> None:
        self._processes = processes
        self._totals = None
        if folder := os.environ.get(metrics.DIRECTORY):
            self._totals = _Totals(Path(folder), routes)

    def text(
        self,
        engines_up: Sequence[bool],
        served: Iterable[tuple[str, str]] = (),
        accept: str | None = None,
    ) -> tuple[bytes, str]:
        """Return the metrics, and their media type, for a caller that says ``accept``.

        ``engines_up`` has a flag for each engine: whether it answers the HTTP worker that is asked.
        ``served`` are the names and versions of the models.
        """
        is_open = wants_openmetrics(accept)
        write = openmetrics.generate_latest if is_open else generate_latest
        parts = [write(collector).decode() for collector in self._collectors(engines_up)]
        if self._totals:
            parts.append(self._totals.text(served, is_open))
        if not is_open:
            return "".join(parts).encode(), CONTENT_TYPE_PLAIN_0_0_4
        whole = "".join(part.removesuffix(END) for part in parts) + END
        return whole.encode(), openmetrics.CONTENT_TYPE_LATEST

    def _collectors(self, engines_up: Sequence[bool]) -> Iterable[Collector]:
        yield self._totals.gauges if self._totals else metrics.REGISTRY
        yield _EnginesUp(engines_up)
        yield Gpus.of_this_host()
        if self._processes:
            yield ProcessStats(self._processes)


class _Totals:
    """The counters and histograms of all processes, the known ones with 0; gauges are few."""

    def __init__(self, folder: Path, routes: Iterable[str]) -> None:
        self.gauges = AllProcesses(folder, "gauge_*.db")
        self._series = Series()
        self._files = Files(folder, self._series)
        self._known_models: set[tuple[str, str]] = set()
        self._layouts: dict[float | None, tuple[int, TextLayout]] = {}
        """The text by when the counting began, None without that, and of how many series it is."""
        self._add(known_series.of_the_server(routes))

    def text(self, served: Iterable[tuple[str, str]], is_open: bool) -> str:
        for model in set(served) - self._known_models:
            self._known_models.add(model)
            self._add(known_series.of_a_model(*model))
        sums = self._files.sums()
        begun_at = self._files.begun_at() if is_open else None
        size, layout = self._layouts.get(begun_at, (0, None))
        if layout is None or size != len(sums):
            layout = TextLayout(self._series.families.values(), begun_at)
            self._layouts = {x: y for x, y in self._layouts.items() if (x is None) == is_open}
            self._layouts[begun_at] = len(sums), layout
        return layout.filled(sums)

    def _add(self, keys: Iterable[known_series.Key]) -> None:
        for kind, key in keys:
            self._series.place(kind, key)


class _EnginesUp(Collector):
    """Collects which engines are up, as HTTP workers see them: a dead engine reports nothing."""

    def __init__(self, up: Sequence[bool]) -> None:
        self._up = up

    def collect(self) -> Iterable[Metric]:
        help_text = "1 while the engine answers the HTTP worker that is asked."
        metric = GaugeMetricFamily("carfront_engine_up", help_text, labels=["engine"])
        for number, up in enumerate(self._up):
            metric.add_metric([str(number)], up)
        yield metric


def wants_openmetrics(accept: str | None) -> bool:
    """Tell whether a caller with this field ``Accept`` would rather have OpenMetrics than text.

    Source: RFC 9110, 12.5.1. Where both are as welcome, the more exact name is taken, as Prometheus
    has it; a caller that takes anything gets text.
    """
    best = {OPENMETRICS: 0.0, "text/plain": 0.0}
    for each in (accept or "").lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        given = dict(part.partition("=")[::2] for part in parameters)
        if kind in best and (kind != OPENMETRICS or given.get("version") in VERSIONS):
            best[kind] = max(best[kind], _quality(given.get("q", "1")))
    return best[OPENMETRICS] > 0 and best[OPENMETRICS] >= best["text/plain"]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
