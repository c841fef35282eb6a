"""The verdict on a run: its report, what it missed, and Locust's exit status."""

from typing import Any

from locust import events
from locust.runners import MasterRunner

from loadtests.load import generator, report, slo
from loadtests.load.collector import Collector
from loadtests.load.ramp import Ramp
from loadtests.load.slo import SLO


class Verdict:
    """Decides about the run at its end, and prints the report behind Locust's own."""

    def __init__(
        self, environment: Any, collector: Collector, objective: SLO, ramp: Ramp | None
    ) -> None:
        self._environment, self._collector = environment, collector
        self._slo, self._ramp = objective, ramp
        self._misses: list[str] = []

    def register(self) -> None:
        """Listen to Locust."""
        events.quitting.add_listener(self._decide)
        events.quit.add_listener(self._print)

    def _decide(self, **_: Any) -> None:
        runner, total = self._environment.runner, self._collector.total
        misses = slo.misses(total, self._slo) if self._ramp is None else self._ramp.misses(total)
        if errors := sum(error["count"] for error in runner.exceptions.values()):
            misses.append(f"{errors} errors in the load test itself")
        if isinstance(runner, MasterRunner) and (lost := len(runner.clients.missing)):
            misses.append(f"{lost} workers were lost, with what they had not reported")
        self._misses = misses
        self._environment.process_exit_code = 1 if misses else 0

    def _print(self, **_: Any) -> None:
        total = self._collector.total
        lines = [
            "\nExact times, of good answers alone:",
            report.table(total),
            *report.kinds(total),
            *generator.told(self._collector.loads, total),
            *(self._ramp.told() if self._ramp else ()),
            *(f"not judged: {each}" for each in slo.not_judged(total, self._slo)),
            *(f"MISSED, by the SLO {self._slo.name!r}: {each}" for each in self._misses),
        ]
        print("\n".join(lines), flush=True)
