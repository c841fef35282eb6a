"""What came of one trial: a rate, offered for some seconds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.capacity.arrivals import WARM
from loadtests.capacity.orders import Notes
from loadtests.percentile import percentile


@dataclass(frozen=True)
class Trial:
    """The result of one trial, of the requests that were due after the warm-up."""

    rate: float
    """The requests a second that were offered."""
    requests: int
    p50_ms: float
    """The median latency of the requests with images, from when they were due."""
    tail_ms: float
    """The same at the objective's percentile."""
    refused: float
    """The share of the requests that were refused, broke off, or were never answered."""
    statuses: dict[int, int]
    """The number of answers by status; those of status 0 never came."""
    late_ms: float
    """By how much the generators were late, at the objective's percentile."""
    busy: float
    """The share of a processor that the busiest generator took."""
    generator_us: float
    """The CPU time that a request cost the generators."""
    compared: int
    """The number of answers that were compared with those to second requests."""
    server_us: float | None = None
    """The CPU time that a request cost all of the server's processes; None if it does not tell."""

    @classmethod
    def of(cls, rate: float, notes: Sequence[Notes], share: float) -> "Trial":
        """Return the result of what the generators noted; ``share`` is the percentile, 0 to 1."""
        due_s, handled_s, done_s, statuses = (
            np.concatenate([getattr(each, name) for each in notes])
            for name in ("due_s", "handled_s", "done_s", "statuses")
        )
        counted = due_s >= WARM * len(due_s) / rate
        good = counted & (statuses == 200)
        latencies_ms = (1000 * (done_s - due_s)[good]).tolist()
        percent = round(100 * share, 6)
        late_ms = (1000 * (handled_s - due_s)[counted]).tolist()
        return cls(
            rate=rate,
            requests=int(counted.sum()),
            p50_ms=percentile(latencies_ms, 50),
            tail_ms=percentile(latencies_ms, percent),
            refused=1 - float(good.sum() / counted.sum()),
            statuses=dict(Counter(statuses[counted].tolist())),
            late_ms=percentile(late_ms, percent),
            busy=max(each.busy for each in notes),
            generator_us=1e6 * sum(each.cpu_s for each in notes) / len(due_s),
            compared=sum(each.compared for each in notes),
        )
