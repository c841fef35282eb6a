"""The thresholds that decide whether a run has failed, as pure policy, without Locust."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """The limits of a run; generous by default, because test machines are slow and noisy."""

    max_failure_ratio: float = 0.0
    """The largest share of failed requests, 0 to 1."""
    max_p95_ms: float = 2000.0
    """The largest 95th percentile of the latency of one image for a page, in milliseconds."""


@dataclass(frozen=True)
class Outcome:
    """The results of a run."""

    requests: int
    failures: int
    single_images: int
    """The number of requests for one image, answered well or not."""
    p95_ms: float
    """The 95th percentile of single images' latency; it means nothing if there were none."""
    exceptions: int = 0
    """The number of errors of the load test itself, not of the server."""

    @property
    def failure_ratio(self) -> float:
        """The share of failed requests, 0 to 1; 0 if there were no requests."""
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
