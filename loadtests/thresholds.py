"""When a run has failed: pure policy, without Locust."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """The limits of a run; generous by default, because test machines are slow and noisy."""

    max_failure_ratio: float = 0.0
    """Failed requests among all."""
    max_p95_ms: float = 2000.0
    """95th percentile of the latency of one image for a page."""


@dataclass(frozen=True)
class Outcome:
    """What a run measured."""

    requests: int
    failures: int
    single_images: int
    """Requests for one image, answered well or not."""
    p95_ms: float
    """Of the single images; without meaning when there were none."""
    exceptions: int = 0
    """Errors of the load test itself, not of the server."""

    @property
    def failure_ratio(self) -> float:
        """Failed requests among all; 0 when there were none."""
        return self.failures / self.requests if self.requests else 0.0


def misses(outcome: Outcome, limits: Thresholds) -> list[str]:
    """Return one sentence for each limit that was missed; none means that the run passed."""
    found = []
    if outcome.exceptions:
        found.append(f"{outcome.exceptions} errors in the load test itself")
    if not outcome.requests:
        return [*found, "no request was made at all"]
    if outcome.failure_ratio > limits.max_failure_ratio:
        found.append(
            f"{outcome.failures} of {outcome.requests} requests failed "
            f"({outcome.failure_ratio:.2%}); at most {limits.max_failure_ratio:.2%} may"
        )
    if outcome.single_images and outcome.p95_ms > limits.max_p95_ms:
        found.append(
            f"p95 latency of a single image is {outcome.p95_ms:.0f} ms; "
            f"the limit is {limits.max_p95_ms:.0f} ms"
        )
    return found
