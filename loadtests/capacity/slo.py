"""The service level objective, whether a trial kept it, and whether a trial says so at all."""

from dataclasses import dataclass

from loadtests.capacity.trial import Trial

BUSY = 0.8
"""The share of a processor from which on a generator may have been the limit."""
LATE = 0.1
"""The share of the latency's limit by which a generator may be late at the percentile."""


@dataclass(frozen=True)
class Slo:
    """A service level objective for one kind of request."""

    percentile: float
    """The share of the requests with images, 0 to 1, that come within the limit."""
    limit_ms: float
    refused: float
    """The largest share of requests that may be refused, 0 to 1."""

    def __str__(self) -> str:
        within = f"{100 * self.percentile:g} % within {self.limit_ms:g} ms"
        return f"{within}, {100 * self.refused:g} % refused at most"

    def is_kept(self, trial: Trial) -> bool:
        """Return whether ``trial`` kept the objective."""
        return trial.refused <= self.refused and trial.tail_ms <= self.limit_ms

    def generator_fault(self, trial: Trial) -> str:
        """Return how the generator was the limit, or nothing.

        A trial that kept the objective all the same has shown that the server can. One that missed
        it says nothing of the server then.
        """
        if self.is_kept(trial):
            return ""
        if trial.busy > BUSY:
            return f"the generator took {trial.busy:.0%} of a processor, {BUSY:.0%} is the most"
        most_ms = LATE * self.limit_ms
        if trial.late_ms > most_ms:
            share = f"{100 * self.percentile:g} %"
            return f"{share} of the requests left within {trial.late_ms:.1f} ms, not {most_ms:g} ms"
        return ""
